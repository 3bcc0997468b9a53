//! `jwe-decrypt` decrypts a token that was encrypted for a consumer, and hands what is inside to the upstream.
//!
//! Only `dir` with `A256GCM` is known (RFC 7516): the consumer's secret is the key itself. A token of which a single bit was changed, in its
//! header too, is refused.
//!
//! Example: `{"header": "Authorization", "forward_header": "X-Claims"}`

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use usher_model::compat::Behaviour;
use usher_model::jose::token::{MAX_TOKEN_BYTES, Strict, decode};
use usher_model::reference::is_reference;
use usher_model::secret::Secret;
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Flow, Hook, Phases, Plugin};
use usher_pipeline::reply::Reply;
use usher_pipeline::spec::{Credential, Spec};

use crate::schema::written_as;
use crate::stranger::header_name;

/// `jwe-decrypt`.
pub(crate) static PLUGIN: Spec = Spec::of::<JweDecrypt>().auth::<JweDecryptCredential>();

/// Decrypts a token that was encrypted for a consumer, and hands what is inside to the upstream.
#[derive(Deserialize, JsonSchema)]
struct Config {
    /// The header that carries the token, with or without `Bearer ` before it.
    #[serde(default = "authorization")]
    header: String,
    /// The header in which the upstream gets what was inside. A client's own copy never reaches the upstream.
    #[serde(default = "authorization")]
    forward_header: String,
    /// Whether a request without a token is refused.
    #[serde(default = "crate::schema::yes")]
    strict: bool,
}

fn authorization() -> String {
    "Authorization".to_owned()
}

/// A consumer's key, parsed.
#[derive(Deserialize)]
#[serde(try_from = "Written")]
struct JweDecryptCredential {
    key: String,
    /// `None` where the secret is kept elsewhere and isn't known here: it decrypts nothing.
    secret: Option<LessSafeKey>,
}

/// A consumer's key for encrypted tokens.
#[derive(Deserialize, JsonSchema)]
struct Written {
    /// What a token's `kid` names. No two consumers may have the same.
    key: String,
    /// The secret: 32 bytes, or their base64; sealed in the store.
    secret: Secret<String>,
    /// Whether `secret` is written in base64.
    #[serde(default)]
    is_base64_encoded: bool,
}

impl TryFrom<Written> for JweDecryptCredential {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let secret = written.secret.expose();
        if is_reference(secret) {
            return Ok(Self { key: written.key, secret: None });
        }
        let bytes = if written.is_base64_encoded {
            STANDARD.decode(secret).or_else(|_| URL_SAFE_NO_PAD.decode(secret)).map_err(
                |_| "property \"secret\" validation failed: it is no base64, and is_base64_encoded is true",
            )?
        } else {
            secret.as_bytes().to_vec()
        };
        let key = UnboundKey::new(&AES_256_GCM, &bytes)
            .map_err(|_| format!("the secret length should be 32 chars, and it has {}", bytes.len()))?;
        Ok(Self { key: written.key, secret: Some(LessSafeKey::new(key)) })
    }
}

written_as!(JweDecryptCredential, Written);

impl Credential for JweDecryptCredential {
    const UNIQUE: &'static str = "key";

    fn unique(&self) -> &str {
        &self.key
    }
}

struct JweDecrypt {
    header: String,
    forward_header: String,
    strict: bool,
    /// Also takes tokens whose header was not authenticated.
    takes_bare: bool,
}

impl Plugin for JweDecrypt {
    const NAME: &'static str = "jwe-decrypt";
    const PRIORITY: i32 = 2509;
    const PHASES: Phases<Self> = Phases { rewrite: Some(Hook::Now(Self::decrypt)), ..Phases::NONE };
    type Config = Config;

    fn build(config: Config, env: &Env<'_>) -> Result<Self, BuildError> {
        header_name("header", &config.header)?;
        header_name("forward_header", &config.forward_header)?;
        Ok(Self {
            header: config.header,
            forward_header: config.forward_header,
            strict: config.strict,
            takes_bare: env.process().compat().has(Behaviour::JweWithoutAad),
        })
    }

    fn passed_over(&self, exchange: &mut Exchange) {
        self.drop_client_copy(exchange);
    }
}

impl JweDecrypt {
    fn decrypt(&self, exchange: &mut Exchange) -> Flow {
        let head = &exchange.request.head;
        let Some(field) = head.get(&self.header).filter(|field| !field.is_empty()) else {
            if self.strict {
                return Reply::message(403, "missing JWE token in request").into();
            }
            self.drop_client_copy(exchange);
            return Flow::Continue;
        };
        let field = std::str::from_utf8(field).unwrap_or_default();
        let bearer = field.split_at_checked(7).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer "));
        let text = bearer.map_or(field, |(_, token)| token.trim_start());
        match self.open(exchange, text) {
            Ok(inside) => {
                self.drop_client_copy(exchange);
                match exchange.request.head.set(&self.forward_header, inside) {
                    Ok(()) => Flow::Continue,
                    Err(_) => Reply::message(400, "failed to decrypt JWE token").into(),
                }
            }
            Err(problem) => Reply::message(400, problem).into(),
        }
    }

    fn open(&self, exchange: &Exchange, text: &str) -> Result<Vec<u8>, &'static str> {
        const INVALID: &str = "JWE token invalid";
        const FAILED: &str = "failed to decrypt JWE token";
        let parts: Vec<&str> = text.splitn(6, '.').collect();
        let &[header, encrypted_key, iv, ciphertext, tag] = parts.as_slice() else { return Err(INVALID) };
        if text.len() > MAX_TOKEN_BYTES {
            return Err(INVALID);
        }
        let told =
            decode(header).and_then(|text| serde_json::from_slice::<Strict>(&text).ok()).ok_or(INVALID)?.0;
        let member = |name: &str| told.get(name).and_then(Value::as_str);
        if member("alg") != Some("dir") || member("enc") != Some("A256GCM") {
            return Err(INVALID);
        }
        if !encrypted_key.is_empty() || told.contains_key("crit") || told.contains_key("zip") {
            return Err(INVALID);
        }
        let kid = told.get("kid").ok_or("missing kid in JWE token")?.as_str().unwrap_or_default();
        let found = exchange.find_credential(Self::NAME, kid.as_bytes()).ok_or("invalid kid in JWE token")?;
        let credential = found.config.downcast_ref::<JweDecryptCredential>();
        let secret = credential.and_then(|credential| credential.secret.as_ref()).ok_or(FAILED)?;
        let (iv, tag) = (decode(iv).ok_or(FAILED)?, decode(tag).ok_or(FAILED)?);
        let iv: [u8; 12] = iv.try_into().map_err(|_| FAILED)?;
        let mut sealed = decode(ciphertext).ok_or(FAILED)?;
        if tag.len() != AES_256_GCM.tag_len() {
            return Err(FAILED);
        }
        sealed.extend_from_slice(&tag);
        let open = |aad: &[u8], mut sealed: Vec<u8>| {
            let nonce = Nonce::assume_unique_for_key(iv);
            let length =
                secret.open_in_place(nonce, Aad::from(aad), &mut sealed).map(|inside| inside.len()).ok()?;
            sealed.truncate(length);
            Some(sealed)
        };
        if self.takes_bare
            && let Some(inside) = open(b"", sealed.clone())
        {
            return Ok(inside);
        }
        open(header.as_bytes(), sealed).ok_or(FAILED)
    }

    /// What the upstream reads under this name comes from a token alone.
    fn drop_client_copy(&self, exchange: &mut Exchange) {
        crate::spoofed::drop_copies(
            &mut exchange.request.head,
            std::iter::once(self.forward_header.as_str()),
        );
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
    use serde_json::{Map, Value, json};
    use usher_model::compat::{Behaviour, Compat};
    use usher_model::jose::token::encode;
    use usher_pipeline::harness::{Harness, Outcome, harness, try_harness, try_harness_under};
    use usher_pipeline::registry::Registry;

    use super::PLUGIN;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn sealed(header: &Value, inside: &str, with_aad: bool) -> String {
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, SECRET.as_bytes()).unwrap());
        let header = encode(header.to_string());
        let aad = if with_aad { header.as_bytes() } else { b"" };
        let mut text = inside.as_bytes().to_vec();
        let nonce = Nonce::assume_unique_for_key([7; 12]);
        let tag = key.seal_in_place_separate_tag(nonce, Aad::from(aad), &mut text).unwrap();
        format!("{header}..{}.{}.{}", encode([7; 12]), encode(text), encode(tag))
    }

    fn header() -> Value {
        json!({ "alg": "dir", "enc": "A256GCM", "kid": "jack-key" })
    }

    fn bench(body: Value) -> Harness {
        let credential = json!({ "key": "jack-key", "secret": SECRET });
        harness(&PLUGIN, body).consumer("jack", "jwe-decrypt", &credential, Map::new())
    }

    fn ask(bench: &mut Harness, token: &str) -> Outcome {
        bench.send("GET", "/", &[("Authorization", token), ("X-Claims", "spoofed")], "")
    }

    #[test]
    fn the_upstream_gets_what_was_inside() {
        let token = sealed(&header(), "hello", true);
        let outcome = ask(&mut bench(json!({})), &format!("Bearer {token}"));
        assert_eq!(outcome.seen().head.get_str("authorization"), Some("hello"));
        assert!(!outcome.seen().head.contains("x-consumer-username"), "it names nobody");
        let mut bench = bench(json!({ "forward_header": "X-Claims", "strict": false }));
        assert_eq!(ask(&mut bench, &token).seen().head.get_str("x-claims"), Some("hello"));
        let outcome = bench.send("GET", "/", &[("X-Claims", "spoofed"), ("X_Claims", "spoofed")], "");
        assert!(!outcome.seen().head.contains("x-claims") && !outcome.seen().head.contains("x_claims"));
        let torn = sealed(&header(), "a\r\nX-Admin: 1", true);
        ask(&mut bench, &torn).expect_status(400);
    }

    /// CVE-2026-49230: a token that fails its integrity check was taken.
    #[test]
    fn every_flipped_bit_is_noticed() {
        let token = sealed(&header(), "hello", true);
        let mut bench = bench(json!({}));
        assert_eq!(ask(&mut bench, &token).status(), 200);
        const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        for at in (0..token.len()).filter(|at| token.as_bytes()[*at] != b'.') {
            let place = LETTERS.iter().position(|letter| *letter == token.as_bytes()[at]).unwrap();
            for bit in 0..6 {
                let mut changed = token.clone().into_bytes();
                changed[at] = LETTERS[place ^ (1 << bit)];
                let changed = String::from_utf8(changed).unwrap();
                assert_eq!(ask(&mut bench, &changed).status(), 400, "letter {at}, bit {bit}");
            }
        }
        let bare = sealed(&header(), "hello", false);
        ask(&mut bench, &bare).expect_status(400);
    }

    #[test]
    fn apisixs_own_tokens_are_taken_where_that_was_asked_for() {
        let compat = Compat::NONE.with(Behaviour::JweWithoutAad);
        let bodies = [("jwe-decrypt".to_owned(), json!({}))].into_iter().collect();
        let bench = try_harness_under(compat, &[&PLUGIN], &bodies).unwrap();
        let credential = json!({ "key": "jack-key", "secret": SECRET });
        let mut bench = bench.consumer("jack", "jwe-decrypt", &credential, Map::new());
        for with_aad in [true, false] {
            let outcome = ask(&mut bench, &sealed(&header(), "hello", with_aad));
            assert_eq!(outcome.seen().head.get_str("authorization"), Some("hello"));
        }
    }

    #[test]
    fn each_refusal_has_its_sentence() {
        let mut bench = bench(json!({}));
        let outcome = bench.get("/");
        assert_eq!(
            (outcome.status(), outcome.text()),
            (403, "{\"message\":\"missing JWE token in request\"}\n")
        );
        let with = |member: &str, value: Value| {
            let mut told = header();
            told[member] = value;
            sealed(&told, "x", true)
        };
        let nameless = sealed(&json!({ "alg": "dir", "enc": "A256GCM" }), "x", true);
        for (token, message) in [
            ("a.b.c".to_owned(), "JWE token invalid"),
            ("....".to_owned(), "JWE token invalid"),
            (with("alg", json!("RSA-OAEP")), "JWE token invalid"),
            (with("enc", json!("A128GCM")), "JWE token invalid"),
            (with("crit", json!(["x"])), "JWE token invalid"),
            (with("zip", json!("DEF")), "JWE token invalid"),
            (nameless, "missing kid in JWE token"),
            (with("kid", json!("nobody")), "invalid kid in JWE token"),
            (with("kid", json!(7)), "invalid kid in JWE token"),
        ] {
            let outcome = ask(&mut bench, &token);
            assert_eq!(
                (outcome.status(), outcome.text()),
                (400, format!("{{\"message\":\"{message}\"}}\n").as_str())
            );
        }
    }

    #[test]
    fn secrets_have_32_bytes() {
        let registry = Registry::new(&[&PLUGIN]);
        for (secret, encoded, good) in [
            (SECRET, false, true),
            ("short", false, false),
            ("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", true, true),
            (SECRET, true, false),
            ("$env://JWE_SECRET", false, true),
        ] {
            let body = json!({ "key": "k", "secret": secret, "is_base64_encoded": encoded });
            let judged = registry.check_credential("jwe-decrypt", &body);
            assert_eq!(judged.is_ok(), good, "{secret}");
            assert!(judged.err().is_none_or(|error| !error.message.contains(secret)));
        }
        assert_eq!(registry.credential_secrets("jwe-decrypt"), ["secret"]);
        assert!(try_harness(&PLUGIN, json!({ "header": "a b" })).is_err());
    }
}
