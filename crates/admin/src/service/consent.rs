//! Who may do what, and when a person has to agree. By rule, never by prompt.

use usher_model::change::{Door, Principal, Risk, Role};

use super::{Rules, ServiceError};

/// Reasons that a refusal repeats; the rest is counted.
const TOLD: usize = 50;

/// Whether this principal may plan and apply.
pub(super) fn may_change(who: &Principal) -> Result<(), ServiceError> {
    if who.role >= Role::Chat {
        return Ok(());
    }
    Err(ServiceError::Forbidden(format!(
        "{} may read and not change; a change needs the role chat, editor or admin, which an admin gives",
        super::escape::plain(&who.name)
    )))
}

/// Whether this principal may plan and apply in one step.
pub(super) fn may_write(who: &Principal) -> Result<(), ServiceError> {
    may_change(who)?;
    if who.role >= Role::Editor || who.door == Door::Plugin {
        return Ok(());
    }
    Err(ServiceError::Forbidden(
        "this door takes no direct writes: make a plan, let it be agreed to, and apply it".to_owned(),
    ))
}

/// Whether this principal may do what no scope bounds: tokens, users, the audit, secrets in clear.
pub(super) fn may_rule(who: &Principal) -> Result<(), ServiceError> {
    let name = super::escape::plain(&who.name);
    if who.role != Role::Admin {
        return Err(ServiceError::Forbidden(format!(
            "{name} has the role {}, and only an admin may do this; use a key or token with the role admin",
            who.role
        )));
    }
    if !who.scope.is_all() {
        return Err(ServiceError::Forbidden(format!(
            "{name} is an admin of a part of the configuration, and this is about all of it; use a key or token without a scope"
        )));
    }
    Ok(())
}

/// Whether a person has to agree to a change of this risk.
pub(super) fn needs_person(rules: &Rules, who: &Principal, risk: Risk) -> bool {
    match who.door {
        // Whoever stands there is a person, or a program that acts for its owner.
        Door::AdminApi | Door::Cli | Door::Console if who.role >= Role::Editor => false,
        Door::Usher if who.role == Role::Admin => false,
        Door::Plugin => rules.consent_all,
        // No chat: what is said of chats isn't said of scripts.
        Door::Api => risk == Risk::High,
        _ => rules.consent_all || risk == Risk::High,
    }
}

/// Why a person has to agree.
pub(super) fn reasons(rules: &Rules, risk: Risk, reasons: &[String]) -> Vec<String> {
    let mut told = Vec::new();
    if rules.consent_all {
        told.push(
            "the setting consent: all asks a person for every change that comes through a chat".to_owned(),
        );
    }
    if risk == Risk::High {
        told.extend(several(reasons));
    }
    told
}

/// As many reasons as a sentence holds; the plan has all of them.
pub(super) fn several(reasons: &[String]) -> Vec<String> {
    let mut told: Vec<String> = reasons.iter().take(TOLD).cloned().collect();
    if reasons.len() > TOLD {
        told.push(format!("{} more reasons", reasons.len() - TOLD));
    }
    told
}

#[cfg(test)]
mod tests {
    use usher_model::change::{Door, Principal, Risk, Role};
    use usher_model::scope::Scope;

    use super::{Rules, may_change, may_rule, may_write, needs_person};

    #[test]
    fn the_table_of_the_manual_holds() {
        for (role, door, writes, low, high, low_all) in [
            (Role::Admin, Door::AdminApi, true, false, false, false),
            (Role::Admin, Door::Usher, true, false, false, false),
            (Role::Admin, Door::Cli, true, false, false, false),
            (Role::Admin, Door::Console, true, false, false, false),
            (Role::Admin, Door::Api, true, false, true, false),
            (Role::Admin, Door::Mcp, true, false, true, true),
            (Role::Admin, Door::Chat, true, false, true, true),
            (Role::Editor, Door::AdminApi, true, false, false, false),
            (Role::Editor, Door::Cli, true, false, false, false),
            (Role::Editor, Door::Console, true, false, false, false),
            (Role::Editor, Door::Api, true, false, true, false),
            (Role::Editor, Door::Usher, true, false, true, true),
            (Role::Editor, Door::Mcp, true, false, true, true),
            (Role::Editor, Door::Chat, true, false, true, true),
            (Role::Chat, Door::Plugin, true, false, false, true),
            (Role::Chat, Door::Mcp, false, false, true, true),
            (Role::Chat, Door::Chat, false, false, true, true),
            (Role::Chat, Door::AdminApi, false, false, true, true),
            (Role::Chat, Door::Cli, false, false, true, true),
            (Role::Chat, Door::Console, false, false, true, true),
        ] {
            let who = Principal::new("x", role, door);
            let (risk, all) = (Rules::default(), Rules { consent_all: true, ..Rules::default() });
            assert!(may_change(&who).is_ok());
            assert_eq!(may_write(&who).is_ok(), writes, "{who:?}");
            assert_eq!(needs_person(&risk, &who, Risk::Medium), low, "{who:?}");
            assert_eq!(needs_person(&risk, &who, Risk::High), high, "{who:?}");
            assert_eq!(needs_person(&all, &who, Risk::Low), low_all, "{who:?}");
        }
        for door in [Door::AdminApi, Door::Plugin, Door::Mcp, Door::Chat, Door::Cli, Door::Console, Door::Api]
        {
            let who = Principal::new("x", Role::Viewer, door);
            assert!(may_change(&who).is_err() && may_write(&who).is_err());
        }
    }

    #[test]
    fn only_an_admin_of_everything_rules() {
        let part = Scope { labels: vec!["team=pay".to_owned()], ..Scope::ALL };
        for (role, scope, good) in [
            (Role::Admin, Scope::ALL, true),
            (Role::Admin, part.clone(), false),
            (Role::Editor, Scope::ALL, false),
            (Role::Chat, Scope::ALL, false),
            (Role::Viewer, part, false),
        ] {
            let who = Principal::new("x", role, Door::AdminApi).within(scope);
            assert_eq!(may_rule(&who).is_ok(), good, "{who:?}");
        }
    }
}
