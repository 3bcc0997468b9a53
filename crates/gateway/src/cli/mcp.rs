//! `usher mcp`: MCP on standard input and output, for clients that start their servers; it speaks for a running Usher.

use clap::Args;

/// Options of `usher mcp`.
#[derive(Args, Debug)]
pub(crate) struct Mcp {
    /// The chat side of the running Usher
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:5000", env = "USHER_URL")]
    pub(crate) url: String,
}

impl Mcp {
    /// Passes messages on until standard input ends.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        usher_chat::stdio::bridge(&self.url).await?;
        Ok(())
    }
}
