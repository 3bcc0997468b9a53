//! Reads `Authorization: Signature keyId="..",algorithm="..",headers="..",signature=".."`.

use usher_http1::head::Head;

/// How many headers a signature may cover.
const MAX_HEADERS: usize = 64;

/// What a client says of its signature.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Parameters<'h> {
    pub(super) key_id: &'h str,
    pub(super) algorithm: &'h str,
    pub(super) signature: &'h str,
    /// What is signed, in this order, as the client spells it.
    pub(super) headers: Vec<&'h str>,
}

impl<'h> Parameters<'h> {
    /// Reads the header. Whatever stands twice makes it invalid.
    ///
    /// # Errors
    /// What is wrong, for the client.
    pub(super) fn read(head: &'h Head) -> Result<Self, &'static str> {
        let mut fields = head.get_all("authorization");
        let field = fields.next().ok_or("missing Authorization header")?;
        if fields.next().is_some() {
            return Err("more than one Authorization header");
        }
        let field = std::str::from_utf8(field).unwrap_or_default();
        let rest = field.split_at_checked(10).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("signature "));
        let (_, rest) = rest.ok_or("Authorization header does not start with 'Signature'")?;
        let mut found = [None; 4];
        for pair in rest.split(',') {
            let Some((name, value)) = pair.trim().split_once('=') else { continue };
            let at = match name.trim_ascii_end() {
                "keyId" => 0,
                "algorithm" => 1,
                "headers" => 2,
                "signature" => 3,
                _ => continue,
            };
            let value = value.trim_ascii_start().strip_prefix('"').and_then(|value| value.strip_suffix('"'));
            let value = value.ok_or("a parameter is not quoted")?;
            match found.get_mut(at) {
                Some(place @ None) => *place = Some(value),
                _ => return Err("a parameter stands twice"),
            }
        }
        let [key_id, algorithm, headers, signature] = found;
        let there = |value: Option<&'h str>| value.filter(|value| !value.is_empty());
        let (Some(key_id), Some(signature)) = (there(key_id), there(signature)) else {
            return Err("keyId or signature missing");
        };
        let algorithm = there(algorithm).ok_or("algorithm missing")?;
        let headers: Vec<&str> =
            headers.unwrap_or_default().split_ascii_whitespace().take(MAX_HEADERS + 1).collect();
        if headers.len() > MAX_HEADERS {
            return Err("too many headers are signed");
        }
        Ok(Self { key_id, algorithm, signature, headers })
    }

    /// Whether the signature covers this.
    pub(super) fn signs(&self, name: &str) -> bool {
        self.headers.iter().any(|signed| signed.eq_ignore_ascii_case(name))
    }
}

#[cfg(test)]
mod tests {
    use usher_http1::head::Head;

    use super::Parameters;

    #[test]
    fn reads_each_parameter_once() {
        for (field, wanted) in [
            (r#"Signature keyId="k",algorithm="hmac-sha256",headers="date  x",signature="AA==""#, Ok(2)),
            (r#"signature keyId = "k" , algorithm="a", signature="s", x="y""#, Ok(0)),
            (r#"Signature keyId="k",algorithm="a""#, Err("keyId or signature missing")),
            (r#"Signature keyId="",algorithm="a",signature="s""#, Err("keyId or signature missing")),
            (r#"Signature keyId="k",signature="s""#, Err("algorithm missing")),
            (r#"Signature keyId="k",keyId="j",algorithm="a",signature="s""#, Err("a parameter stands twice")),
            (r#"Signature keyId=k,algorithm="a",signature="s""#, Err("a parameter is not quoted")),
            ("Basic x", Err("Authorization header does not start with 'Signature'")),
            ("", Err("Authorization header does not start with 'Signature'")),
        ] {
            let mut head = Head::request("GET", "/");
            head.append("Authorization", field).unwrap();
            assert_eq!(Parameters::read(&head).map(|found| found.headers.len()), wanted, "{field}");
            head.append("Authorization", field).unwrap();
            assert!(Parameters::read(&head).is_err());
        }
        assert_eq!(Parameters::read(&Head::request("GET", "/")), Err("missing Authorization header"));
    }
}
