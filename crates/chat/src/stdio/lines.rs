//! Lines of a bounded length from any input. A reading that is given up loses nothing.

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};

/// Bytes of a line: a message of 1 MiB, which is what the server takes.
pub(super) const MOST: usize = 1024 * 1024;

/// A line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Without its end.
    Whole(String),
    /// It was longer than [`MOST`] and is passed over.
    TooLong,
}

/// The lines of an input.
pub(super) struct Lines<R> {
    input: BufReader<R>,
    held: Vec<u8>,
    is_too_long: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input: BufReader::new(input), held: Vec::new(), is_too_long: false }
    }

    /// The next line; nothing at the end.
    pub(super) async fn next(&mut self) -> std::io::Result<Option<Line>> {
        loop {
            let piece = self.input.fill_buf().await?;
            if piece.is_empty() {
                let rest = !self.held.is_empty() || self.is_too_long;
                return Ok(rest.then(|| self.give()));
            }
            let end = piece.iter().position(|byte| *byte == b'\n');
            let taken = end.unwrap_or(piece.len());
            if self.held.len() + taken > MOST {
                self.is_too_long = true;
                self.held.clear();
            }
            if !self.is_too_long {
                self.held.extend(piece.iter().take(taken));
            }
            self.input.consume(taken + usize::from(end.is_some()));
            if end.is_some() {
                return Ok(Some(self.give()));
            }
        }
    }

    fn give(&mut self) -> Line {
        let held = std::mem::take(&mut self.held);
        if std::mem::take(&mut self.is_too_long) {
            return Line::TooLong;
        }
        Line::Whole(String::from_utf8_lossy(&held).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::{Line, Lines, MOST};

    #[tokio::test]
    async fn long_lines_are_passed_over_and_the_rest_is_read() {
        let input = format!("a\n\n{}\nb\r\nlast", "x".repeat(MOST + 1));
        let mut lines = Lines::new(input.as_bytes());
        let mut all = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            all.push(line);
        }
        let whole = |text: &str| Line::Whole(text.to_owned());
        assert_eq!(all, [whole("a"), whole(""), Line::TooLong, whole("b\r"), whole("last")]);
    }
}
