//! Tokens and users: made, known at once everywhere, and gone at once everywhere.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use usher_admin::service::{NewToken, NewUser, Rules, ServiceError, UserChange};
use usher_model::change::{Door, Principal, Role};
use usher_model::scope::Scope;
use usher_model::secret::Secret;
use usher_store::Transaction;

use crate::bench::{Bench, admin, agent, put, route, viewer, wanted};

fn token(name: &str, role: Role) -> NewToken {
    NewToken { name: name.to_owned(), role, scope: Scope::ALL, expires_in_secs: None }
}

fn user(name: &str, role: Role, password: &str) -> NewUser {
    NewUser { name: name.to_owned(), role, password: Secret::new(password.to_owned()) }
}

#[tokio::test]
async fn a_token_stands_for_its_principal_until_it_is_revoked() {
    let bench = Bench::new().await;
    let other = bench.restarted().await;
    let scope = Scope { labels: vec!["team=pay".to_owned()], ..Scope::ALL };
    let wanted = NewToken { scope: scope.clone(), ..token("ci", Role::Editor) };
    let (info, secret) = bench.service.create_token(&admin(), wanted).await.unwrap();
    let secret = secret.expose();
    assert!(secret.starts_with("ut_") && secret.len() == 43, "{secret}");
    assert_eq!((info.name.as_str(), info.role, info.created_by.as_str()), ("ci", Role::Editor, "ops"));
    let principal = Principal::new("ci", Role::Editor, Door::Api).within(scope);
    for service in [&bench.service, &other.service] {
        assert_eq!(service.principal_of(secret, Door::Api), Some(principal.clone()));
        assert_eq!(service.list_tokens(&admin()).await.unwrap(), std::slice::from_ref(&info));
    }
    for wrong in [
        "",
        "ut_",
        &secret[..42],
        &format!("{secret}x"),
        &secret.to_lowercase(),
        &secret.replace("ut_", "UT_"),
    ] {
        assert_eq!(bench.service.principal_of(wrong, Door::Api), None, "{wrong}");
    }
    let entry = bench.store.list("/usher/tokens/").await.unwrap().entries.remove(0);
    assert!(!std::str::from_utf8(&entry.value).unwrap().contains(&secret[3..]));
    bench.service.revoke_token(&admin(), &info.id).await.unwrap();
    for service in [&bench.service, &other.service] {
        assert_eq!(service.principal_of(secret, Door::Api), None, "dead at once, everywhere");
    }
    let error = bench.service.revoke_token(&admin(), &info.id).await.unwrap_err();
    assert!(matches!(error, ServiceError::NoSuch(_)), "{error}");
}

#[tokio::test]
async fn a_token_ends_by_itself() {
    let bench = Bench::new().await;
    let short = NewToken { expires_in_secs: Some(1), ..token("short", Role::Viewer) };
    let (info, secret) = bench.service.create_token(&admin(), short).await.unwrap();
    assert_eq!(info.expires_unix_ms, Some(info.created_unix_ms + 1000));
    assert!(bench.service.principal_of(secret.expose(), Door::Api).is_some());
    // As the store would hold it had it been made an hour ago.
    let entry = bench.store.list("/usher/tokens/").await.unwrap().entries.remove(0);
    let mut stored: serde_json::Value = serde_json::from_slice(&entry.value).unwrap();
    stored["expires_unix_ms"] = json!(info.created_unix_ms - 1);
    bench.store.commit(Transaction::default().put(&*entry.key, stored.to_string())).await.unwrap();
    assert_eq!(bench.service.principal_of(secret.expose(), Door::Api), None);
    assert_eq!(bench.service.list_tokens(&admin()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_no_token_or_user_is_refused_with_its_reason() {
    let bench = Bench::new().await;
    let scoped = |path: &str| NewToken {
        scope: Scope { paths: vec![path.to_owned()], ..Scope::ALL },
        ..token("a", Role::Viewer)
    };
    for (wanted, part) in [
        (token("", Role::Viewer), "1 to 64 letters"),
        (token("a b", Role::Viewer), "1 to 64 letters"),
        (token(&"a".repeat(65), Role::Viewer), "1 to 64 letters"),
        (scoped("pay"), "begins with /"),
        (NewToken { expires_in_secs: Some(0), ..token("a", Role::Viewer) }, "1 to 316224000 seconds"),
        (NewToken { expires_in_secs: Some(u64::MAX), ..token("a", Role::Viewer) }, "1 to 316224000 seconds"),
    ] {
        let error = bench.service.create_token(&admin(), wanted).await.unwrap_err();
        assert!(matches!(error, ServiceError::Invalid { .. }) && error.to_string().contains(part), "{error}");
    }
    for (wanted, part) in [
        (user("a/b", Role::Viewer, "long enough"), "1 to 64 letters"),
        (user("a", Role::Viewer, "short"), "5 characters"),
        (user("a", Role::Viewer, &"x".repeat(257)), "257 characters"),
    ] {
        let error = bench.service.add_user(&admin(), wanted).await.unwrap_err();
        assert!(matches!(error, ServiceError::Invalid { .. }) && error.to_string().contains(part), "{error}");
    }
}

#[tokio::test]
async fn only_an_admin_of_everything_makes_and_sees_them() {
    let bench = Bench::new().await;
    let part = admin().within(Scope { labels: vec!["a=b".to_owned()], ..Scope::ALL });
    for who in [viewer(), agent(), Principal::new("e", Role::Editor, Door::Cli), part] {
        let service = &bench.service;
        let refused = [
            service.create_token(&who, token("a", Role::Viewer)).await.err(),
            service.list_tokens(&who).await.err(),
            service.revoke_token(&who, "a").await.err(),
            service.add_user(&who, user("a", Role::Viewer, "long enough")).await.err(),
            service.list_users(&who).await.err(),
            service.delete_user(&who, "a").await.err(),
            service.audit(&who, Default::default()).await.err(),
            service.verify_audit(&who).await.err(),
            service.reveal(&who, &[], "x").await.err(),
        ];
        assert!(refused.iter().all(|error| matches!(error, Some(ServiceError::Forbidden(_)))), "{refused:?}");
    }
    assert!(bench.store.list("/usher/tokens/").await.unwrap().entries.is_empty());
}

#[tokio::test]
async fn a_user_comes_in_with_the_password_and_no_longer_than_there_is_one() {
    let bench = Bench::new().await;
    let other = bench.restarted().await;
    let secret = |text: &str| Secret::new(text.to_owned());
    let made = bench.service.add_user(&admin(), user("mia", Role::Editor, "correct horse")).await.unwrap();
    let check = async |bench: &Bench, name: &str, password: &str| {
        bench.service.check_user(name, &secret(password), Door::Console).await
    };
    let mia = Some(Principal::new("mia", Role::Editor, Door::Console));
    assert_eq!(check(&other, "mia", "correct horse").await, mia);
    for (name, password) in
        [("mia", "wrong horse"), ("mia", ""), ("max", "correct horse"), ("", ""), ("../mia", "x")]
    {
        assert_eq!(check(&bench, name, password).await, None, "{name}");
    }
    let error =
        bench.service.add_user(&admin(), user("mia", Role::Viewer, "another horse")).await.unwrap_err();
    assert!(error.to_string().contains("a user has it"), "{error}");
    assert_eq!(check(&other, "mia", "correct horse").await, mia, "nothing was changed");
    let change = UserChange { role: Some(Role::Viewer), password: Some(secret("another horse")) };
    let changed = bench.service.change_user(&admin(), "mia", change).await.unwrap();
    assert_eq!((changed.created_unix_ms, changed.role), (made.created_unix_ms, Role::Viewer));
    assert_eq!(check(&other, "mia", "correct horse").await, None);
    assert!(check(&other, "mia", "another horse").await.is_some());
    assert_eq!(bench.service.list_users(&admin()).await.unwrap(), [changed]);
    bench.service.delete_user(&admin(), "mia").await.unwrap();
    assert_eq!(check(&other, "mia", "another horse").await, None);
    assert!(matches!(bench.service.delete_user(&admin(), "mia").await, Err(ServiceError::NoSuch(_))));
}

#[tokio::test]
async fn a_user_keeps_what_is_not_changed() {
    let bench = Bench::new().await;
    bench.service.add_user(&admin(), user("mia", Role::Editor, "correct horse")).await.unwrap();
    let role = UserChange { role: Some(Role::Viewer), password: None };
    assert_eq!(bench.service.change_user(&admin(), "mia", role).await.unwrap().role, Role::Viewer);
    let password = Secret::new("correct horse".to_owned());
    let mia = bench.service.check_user("mia", &password, Door::Console).await;
    assert_eq!(mia, Some(Principal::new("mia", Role::Viewer, Door::Console)));
    let nothing = bench.service.change_user(&admin(), "mia", UserChange::default()).await.unwrap_err();
    assert!(nothing.to_string().contains("nothing to change"), "{nothing}");
    let short = UserChange { password: Some(Secret::new("short".to_owned())), role: None };
    assert!(bench.service.change_user(&admin(), "mia", short).await.is_err());
    let role = UserChange { role: Some(Role::Viewer), password: None };
    let nobody = bench.service.change_user(&admin(), "max", role).await.unwrap_err();
    assert!(matches!(nobody, ServiceError::NoSuch(_)), "{nobody}");
}

#[tokio::test]
async fn two_principals_never_have_one_name() {
    let rules = Rules { taken_names: vec!["admin".to_owned()], ..Rules::default() };
    let bench = Bench::with_rules(rules).await;
    let service = &bench.service;
    let (ci, _) = service.create_token(&admin(), token("ci", Role::Viewer)).await.unwrap();
    service.add_user(&admin(), user("mia", Role::Viewer, "correct horse")).await.unwrap();
    for name in ["admin", "Admin", "keyless", "local-plugin", "usher", "ci", "CI", "mia", "Mia"] {
        let refused = [
            service.create_token(&admin(), token(name, Role::Viewer)).await.map(drop),
            service.add_user(&admin(), user(name, Role::Viewer, "correct horse")).await.map(drop),
        ];
        for outcome in refused {
            let error = outcome.unwrap_err();
            assert!(error.to_string().contains("is taken"), "{name}: {error}");
        }
    }
    service.revoke_token(&admin(), &ci.id).await.unwrap();
    service.create_token(&admin(), token("ci", Role::Viewer)).await.unwrap();
    // Two at the same time: one of them.
    let who = admin();
    let both = tokio::join!(
        service.create_token(&who, token("twin", Role::Viewer)),
        service.add_user(&who, user("twin", Role::Viewer, "correct horse")),
    );
    assert_ne!(both.0.is_ok(), both.1.is_ok());
}

#[tokio::test]
async fn an_unknown_name_takes_as_long_as_a_wrong_password() {
    let bench = Bench::new().await;
    bench.service.add_user(&admin(), user("mia", Role::Editor, "correct horse")).await.unwrap();
    let wrong = Secret::new("wrong horse".to_owned());
    let mut fastest = [Duration::MAX; 2];
    for _ in 0..5 {
        for (best, name) in fastest.iter_mut().zip(["mia", "max"]) {
            let begun = Instant::now();
            bench.service.check_user(name, &wrong, Door::Console).await;
            *best = (*best).min(begun.elapsed());
        }
    }
    let [known, unknown] = fastest;
    assert!(unknown > known / 4 && known > unknown / 4, "{known:?} {unknown:?}");
}

#[tokio::test]
async fn tokens_are_found_again_after_more_than_the_watch_keeps() {
    let bench = Bench::new().await;
    let (one, first) = bench.service.create_token(&admin(), token("one", Role::Viewer)).await.unwrap();
    let other = bench.restarted().await;
    bench.service.revoke_token(&admin(), &one.id).await.unwrap();
    let (_, second) = bench.service.create_token(&admin(), token("two", Role::Viewer)).await.unwrap();
    for at in 0..5000 {
        bench.store.commit(Transaction::default().put("/other", at.to_string())).await.unwrap();
    }
    // The first look notices; the reader then reads anew, as soon as it gets to run.
    let known = |secret: &Secret<String>| other.service.principal_of(secret.expose(), Door::Api).is_some();
    let fresh = async {
        while known(&first) || !known(&second) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), fresh).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_made_beside_changes_lose_nothing() {
    let bench = Arc::new(Bench::new().await);
    let mut tasks = Vec::new();
    for at in 0..50 {
        let bench = Arc::clone(&bench);
        tasks.push(tokio::spawn(async move {
            bench
                .put(route(&at.to_string()), json!({ "uri": format!("/{at}"), "plugins": {} }))
                .await
                .unwrap();
            bench.service.create_token(&admin(), token(&format!("t{at}"), Role::Viewer)).await.unwrap();
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(bench.service.list_tokens(&admin()).await.unwrap().len(), 50);
    let verdict = bench.service.verify_audit(&admin()).await.unwrap();
    assert_eq!((verdict.records, verdict.broken), (100, None));
}

#[tokio::test]
async fn a_plan_is_not_applied_with_the_rights_of_a_namesake() {
    let bench = Bench::new().await;
    let wide = Principal::new("ci", Role::Editor, Door::Cli);
    let plan = bench
        .service
        .plan(&wide, wanted([put(route("1"), json!({ "uri": "/a", "plugins": {} }))]))
        .await
        .unwrap();
    let narrow = wide.clone().within(Scope { hosts: vec!["a.example".to_owned()], ..Scope::ALL });
    let approval = usher_admin::service::Approval::Client;
    let error = bench.service.apply(&narrow, &plan.id, approval.clone()).await.unwrap_err();
    assert!(matches!(error, ServiceError::UnknownPlan(_)), "{error}");
    bench.service.apply(&wide, &plan.id, approval).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_machines_at_once_give_a_name_to_one() {
    let bench = Bench::new().await;
    let other = bench.restarted().await;
    for round in 0..200 {
        let name = format!("ci-{round}");
        let make = |service: &Arc<usher_admin::service::Service>| {
            let (service, name) = (Arc::clone(service), name.clone());
            tokio::spawn(async move { service.create_token(&admin(), token(&name, Role::Viewer)).await })
        };
        let (one, two) = (make(&bench.service), make(&other.service));
        let made = [one.await.unwrap(), two.await.unwrap()];
        let refused: Vec<_> = made.iter().filter_map(|made| made.as_ref().err()).collect();
        assert_eq!(refused.len(), 1, "round {round}: {made:?}");
        assert!(refused[0].to_string().contains("a token has it"), "{refused:?}");
    }
    let first = |service: &Arc<usher_admin::service::Service>, name: &str| {
        let (service, wanted) = (Arc::clone(service), user(name, Role::Admin, "a long password"));
        tokio::spawn(async move { service.add_first_user(&admin(), wanted).await })
    };
    let (one, two) = (first(&bench.service, "ann"), first(&other.service, "bob"));
    let made = [one.await.unwrap().is_ok(), two.await.unwrap().is_ok()];
    assert_eq!(made.iter().filter(|made| **made).count(), 1, "there is one first user");
}
