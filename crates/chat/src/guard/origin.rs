//! The web origins that may call the chat side: ChatGPT's, and pages served from this machine.

/// The same for people.
pub(super) const KNOWN: &str =
    "https://chatgpt.com, https://chat.openai.com and pages of localhost or 127.0.0.1";

/// Whether an `Origin` header names one of them. Browsers write origins in lower case and without a path, so nothing else is taken.
pub(super) fn is_known(origin: &str) -> bool {
    if matches!(origin, "https://chatgpt.com" | "https://chat.openai.com") {
        return true;
    }
    let Some(rest) = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://")) else {
        return false;
    };
    ["localhost", "127.0.0.1", "[::1]"].into_iter().any(|host| {
        rest.strip_prefix(host).is_some_and(|port| {
            port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::is_known;

    #[test]
    fn only_chatgpt_and_this_machine_are_known() {
        for origin in [
            "https://chatgpt.com",
            "https://chat.openai.com",
            "http://localhost",
            "http://localhost:3000",
            "https://127.0.0.1:8443",
            "http://[::1]:9",
        ] {
            assert!(is_known(origin), "{origin}");
        }
        for origin in [
            "",
            "null",
            "http://chatgpt.com",
            "https://chatgpt.com.evil.test",
            "https://chatgpt.com:8443",
            "https://sub.chatgpt.com",
            "http://localhost.evil.test",
            "http://localhost:3000.evil.test",
            "http://localhost:3000/path",
            "http://localhost:",
            "http://localhost:99999",
            "http://127.0.0.1@evil.test",
            "http://127.0.0.2",
            "file://localhost",
            "https://evil.test",
        ] {
            assert!(!is_known(origin), "{origin}");
        }
    }
}
