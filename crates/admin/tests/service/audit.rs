//! The audit: everything that was done or denied, chained, cut with an anchor, and never a secret.

use serde_json::{Value, json};
use usher_admin::service::{
    Approval, AuditEvent, AuditQuery, AuditRecord, NewToken, NewUser, Rules, ServiceError,
};
use usher_model::change::{Door, Role};
use usher_model::scope::Scope;
use usher_model::secret::Secret;
use usher_store::Transaction;

use crate::bench::{Bench, admin, agent, consumer, jack, put, route, viewer, wanted};

async fn all(bench: &Bench) -> Vec<AuditRecord> {
    bench.service.audit(&admin(), AuditQuery::default()).await.unwrap()
}

fn on(uri: &str) -> Value {
    json!({ "uri": uri, "plugins": {} })
}

async fn broken(bench: &Bench) -> Option<u64> {
    bench.service.verify_audit(&admin()).await.unwrap().broken.map(|(number, _)| number)
}

#[tokio::test]
async fn everything_that_somebody_did_or_was_denied_has_its_record() {
    let bench = Bench::new().await;
    let service = &bench.service;
    bench.put(consumer("jack"), jack("jack", "canary-1")).await.unwrap();
    bench.put(consumer("jack"), jack("jack", "canary-2")).await.unwrap();
    service.write(&viewer(), wanted([put(route("1"), on("/a"))])).await.unwrap_err();
    let plan = bench.plan([put(route("1"), on("/a"))]).await.unwrap();
    service.apply(&agent(), &plan.id, Approval::Person("at the terminal".to_owned())).await.unwrap();
    let deletion = bench.plan([usher_model::change::Edit { key: route("1"), after: None }]).await.unwrap();
    service.apply(&agent(), &deletion.id, Approval::Client).await.unwrap_err();
    let token =
        NewToken { name: "ci".to_owned(), role: Role::Viewer, scope: Scope::ALL, expires_in_secs: None };
    let (info, secret) = service.create_token(&admin(), token).await.unwrap();
    service.revoke_token(&admin(), &info.id).await.unwrap();
    let user = NewUser {
        name: "mia".to_owned(),
        role: Role::Editor,
        password: Secret::new("canary-password".to_owned()),
    };
    service.add_user(&admin(), user).await.unwrap();
    service.delete_user(&admin(), "mia").await.unwrap();
    let revealed = service.reveal(&admin(), &[consumer("jack"), route("9")], "an export").await.unwrap();
    assert_eq!(revealed[0].value["plugins"]["key-auth"]["key"], "canary-2");
    assert_eq!(revealed.len(), 1);
    for at in 0..12 {
        service.login_failed(Door::Console, &format!("10.0.0.{at}")).await;
    }
    let records = all(&bench).await;
    let events: Vec<AuditEvent> = records.iter().map(|record| record.event).collect();
    assert_eq!(
        events,
        [
            AuditEvent::Change,
            AuditEvent::Change,
            AuditEvent::Denied,
            AuditEvent::Change,
            AuditEvent::TokenMade,
            AuditEvent::TokenRevoked,
            AuditEvent::UserPut,
            AuditEvent::UserDeleted,
            AuditEvent::Revealed,
            AuditEvent::FailedLogins,
        ]
    );
    assert_eq!(records.iter().map(|record| record.number).collect::<Vec<_>>(), (1..=10).collect::<Vec<_>>());
    let (first, second) = (&records[0].changes[0], &records[1].changes[0]);
    assert_eq!((first.key.as_str(), &first.before), ("/apisix/consumers/jack", &None));
    assert_eq!((first.after.is_some(), &first.after), (true, &second.before));
    assert_eq!(records[3].approval.as_deref(), Some("person: at the terminal"));
    assert_eq!(
        (records[2].principal.as_str(), records[2].role, records[2].door),
        ("dashboards", Role::Viewer, Door::AdminApi)
    );
    assert!(records[8].about.contains("an export: consumer jack"), "{}", records[8].about);
    assert!(records[9].about.contains("10 logins failed"), "{}", records[9].about);
    let text: String = bench
        .store
        .list("/usher/")
        .await
        .unwrap()
        .entries
        .iter()
        .map(|entry| String::from_utf8_lossy(&entry.value).into_owned())
        .collect();
    for secret in ["canary", &secret.expose()[3..]] {
        assert!(!text.contains(secret), "{secret} is in the store");
    }
    assert_eq!(broken(&bench).await, None);
}

#[tokio::test]
async fn whoever_alters_the_audit_is_found_out_at_the_place() {
    let bench = Bench::new().await;
    for at in 0..10 {
        bench.put(route("1"), on(&format!("/{at}"))).await.unwrap();
    }
    let entries = bench.store.list("/usher/audit/").await.unwrap().entries;
    let key = |number: usize| format!("/usher/audit/{number:020}");
    let text = |at: usize| String::from_utf8(entries[at].value.to_vec()).unwrap();
    let altered: Vec<(&str, Transaction, u64)> = vec![
        ("another author", Transaction::default().put(key(3), text(2).replace("\"ops\"", "\"eve\"")), 3),
        ("a blank more", Transaction::default().put(key(4), format!("{} ", text(3))), 4),
        ("no JSON", Transaction::default().put(key(5), "{"), 5),
        ("a record is gone", Transaction::default().delete(key(6)), 7),
        ("the first one is gone", Transaction::default().delete(key(1)), 2),
        ("the last one is gone", Transaction::default().delete(key(10)), 10),
        ("two change places", Transaction::default().put(key(7), text(7)).put(key(8), text(6)), 7),
        ("a copy in another place", Transaction::default().put(key(9), text(1)), 9),
    ];
    for (what, transaction, at) in altered {
        bench.store.commit(transaction).await.unwrap();
        let verdict = bench.service.verify_audit(&admin()).await.unwrap();
        assert_eq!(verdict.broken.as_ref().map(|(number, _)| *number), Some(at), "{what}: {verdict:?}");
        let whole = entries
            .iter()
            .fold(Transaction::default(), |whole, entry| whole.put(&*entry.key, entry.value.clone()));
        bench.store.commit(whole).await.unwrap();
        assert_eq!(broken(&bench).await, None, "{what}");
    }
}

#[tokio::test]
async fn old_records_are_cut_off_and_the_chain_says_so() {
    let bench = Bench::with_rules(Rules { audit_kept: 10, ..Rules::default() }).await;
    for at in 0..100 {
        bench.put(route("1"), on(&format!("/{at}"))).await.unwrap();
    }
    let records = all(&bench).await;
    assert!((10..=16).contains(&records.len()), "{}", records.len());
    let verdict = bench.service.verify_audit(&admin()).await.unwrap();
    assert_eq!(verdict.broken, None);
    assert_eq!(
        (verdict.first, verdict.last),
        (Some(records[0].number), records.last().map(|record| record.number))
    );
    let anchor = records.iter().rev().find_map(|record| record.anchor.clone()).unwrap();
    assert_eq!((anchor.number + 1, anchor.digest), (records[0].number, records[0].previous.clone()));
    // What is cut off by hand is missed.
    let first = format!("/usher/audit/{:020}", records[0].number);
    bench.store.commit(Transaction::default().delete(first)).await.unwrap();
    assert_eq!(broken(&bench).await, Some(records[1].number));
}

#[tokio::test]
async fn pages_go_on_where_the_last_one_ended() {
    let bench = Bench::new().await;
    for at in 0..25 {
        bench.put(route("1"), on(&format!("/{at}"))).await.unwrap();
    }
    let (mut after, mut numbers) = (None, Vec::new());
    loop {
        let page = bench.service.audit(&admin(), AuditQuery { after, limit: 10 }).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.number);
        numbers.extend(page.iter().map(|record| record.number));
    }
    assert_eq!(numbers, (1..=25).collect::<Vec<_>>());
}

#[tokio::test]
async fn denials_can_not_fill_the_audit() {
    let bench = Bench::new().await;
    for _ in 0..500 {
        let error = bench.service.plan(&viewer(), wanted([put(route("1"), on("/a"))])).await.unwrap_err();
        assert!(matches!(error, ServiceError::Forbidden(_)));
    }
    assert_eq!(all(&bench).await.len(), 60);
}

#[tokio::test]
async fn nothing_is_revealed_that_can_not_be_opened() {
    let bench = Bench::new().await;
    bench.put(consumer("jack"), jack("jack", "jacks-key")).await.unwrap();
    let keyring = std::sync::Arc::new(usher_model::seal::Keyring::generate().unwrap().0);
    let other = Bench::started(std::sync::Arc::clone(&bench.store), Rules::default(), keyring).await;
    let error = other.service.reveal(&admin(), &[], "an export").await.unwrap_err();
    assert!(
        matches!(error, ServiceError::Damaged(_)) && error.to_string().contains("nothing is revealed"),
        "{error}"
    );
    assert_eq!(bench.service.reveal(&admin(), &[], "an export").await.unwrap().len(), 1);
}
