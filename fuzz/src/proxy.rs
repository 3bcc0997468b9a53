//! What must hold of any bytes in front of a connection: used by the fuzz target, and by a test that replays its corpus on the stable compiler.

use usher_proxy::proxy_protocol::{Header, LONGEST_V1, LONGEST_V2, needs, parse};

/// A header of the PROXY protocol is read the same however it comes in, is never longer than it may be, and what is asked for is never more than it.
///
/// # Errors
/// What doesn't hold.
pub fn proxy_protocol(data: &[u8]) -> Result<(), String> {
    let whole = parse(data);
    if let Ok(Some(Header { length, .. })) = whole
        && (length > data.len() || length > LONGEST_V1.max(LONGEST_V2))
    {
        return Err(format!("{length} bytes are said to be the header of {}", data.len()));
    }
    // What is decided early is never decided otherwise later.
    for cut in (0..data.len()).take(LONGEST_V1 + 1) {
        let part = data.get(..cut).unwrap_or_default();
        match (parse(part), &whole) {
            (Ok(None), Ok(Some(header))) => {
                let more = needs(part).unwrap_or(1);
                if more == 0 || cut + more > header.length {
                    return Err(format!("behind {cut} bytes {more} more are asked for of {header:?}"));
                }
            }
            (Ok(None), _) => {}
            (early, late) if early == *late => {}
            (early, late) => return Err(format!("{cut} bytes are {early:?}, all are {late:?}")),
        }
    }
    Ok(())
}
