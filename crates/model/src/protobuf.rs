//! Protobuf definitions: the text of a `.proto` file, or a file descriptor set in base64, as one thing; and messages between JSON and their wire form.

mod decode;
mod encode;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use protox::Compiler;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};
use protox::prost_reflect::{DescriptorPool, MessageDescriptor, MethodDescriptor};
use serde_json::Value;

/// What a definition is called in the compiler's sentences.
const NAME: &str = "content.proto";

/// How deep braces and brackets may be nested: the compiler recurses, and so deep is no message.
const DEEPEST: usize = 100;

/// Compiles the content of a proto resource to an encoded `FileDescriptorSet` with everything that it imports. The types that Google ships
/// with the compiler can be imported, other files can't.
///
/// # Errors
/// The compiler's sentence, with line and column.
pub fn compile(content: &str) -> Result<Vec<u8>, String> {
    if let Some(bytes) = base64_of(content) {
        return described(bytes);
    }
    if is_deeper(content) {
        return Err(format!("{NAME}: it is nested deeper than {DEEPEST} levels; flatten it"));
    }
    let mut chain = ChainFileResolver::new();
    chain.add(Text(content.to_owned()));
    chain.add(GoogleFileResolver::new());
    let mut compiler = Compiler::with_file_resolver(chain);
    compiler.include_imports(true);
    match compiler.open_file(NAME) {
        Ok(_) => Ok(compiler.encode_file_descriptor_set()),
        Err(error) => {
            let told = format!("{error:?}");
            let hint = if told.contains("import '") && told.contains("not found") {
                "; only google/protobuf/*.proto can be imported: write its messages here, or give a file descriptor set in base64"
            } else {
                ""
            };
            Err(format!("{told}{hint}"))
        }
    }
}

/// A definition that was read: its services and messages.
#[derive(Clone, Debug)]
pub struct Definition(DescriptorPool);

/// A method of a service.
#[derive(Clone, Debug)]
pub struct Method(MethodDescriptor);

/// A kind of message.
#[derive(Clone, Debug)]
pub struct Message(MessageDescriptor);

/// How numbers of 64 bits stand in JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wide {
    /// As numbers.
    #[default]
    Number,
    /// Those that need more than 32 bits as `#` and decimal digits.
    Text,
    /// Those that need more than 32 bits as `#0x` and hexadecimal digits.
    Hex,
}

/// Which members stand in JSON that a message doesn't say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Defaults {
    /// Those of proto3.
    #[default]
    Proto3,
    /// All that have a default.
    All,
    /// None.
    None,
}

/// How a message stands in JSON. The names of its members are those of the definition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// How numbers of 64 bits stand.
    pub wide: Wide,
    /// Whether values of enums stand as numbers, and not by their names.
    pub enums_as_numbers: bool,
    /// Which members stand that the message doesn't say.
    pub defaults: Defaults,
}

impl Definition {
    /// Reads the content of a proto resource.
    ///
    /// # Errors
    /// As [`compile`].
    pub fn read(content: &str) -> Result<Self, String> {
        let set = compile(content)?;
        DescriptorPool::decode(set.as_slice()).map(Self).map_err(|error| format!("it can't be read: {error}"))
    }

    /// The method of a service, which is named with its package.
    #[must_use]
    pub fn method(&self, service: &str, method: &str) -> Option<Method> {
        self.0.get_service_by_name(service)?.methods().find(|known| known.name() == method).map(Method)
    }

    /// The message of this name, with its package; a leading dot is the same.
    #[must_use]
    pub fn message(&self, name: &str) -> Option<Message> {
        self.0.get_message_by_name(name.strip_prefix('.').unwrap_or(name)).map(Message)
    }
}

impl Method {
    /// What it is asked with.
    #[must_use]
    pub fn input(&self) -> Message {
        Message(self.0.input())
    }

    /// What it answers with.
    #[must_use]
    pub fn output(&self) -> Message {
        Message(self.0.output())
    }

    /// Whether it answers with any number of messages.
    #[must_use]
    pub fn answers_many(&self) -> bool {
        self.0.is_server_streaming()
    }

    /// Whether it is asked with any number of messages.
    #[must_use]
    pub fn asks_many(&self) -> bool {
        self.0.is_client_streaming()
    }
}

impl Message {
    /// The wire form of an object. Numbers and truths may stand as texts, as they do in queries; a single value may stand for a list of one.
    ///
    /// # Errors
    /// The member that doesn't fit, and what it has to be.
    pub fn encode(&self, value: &Value) -> Result<Vec<u8>, String> {
        encode::message(&self.0, value)
    }

    /// The object of a wire form. Bytes that are no text stand in base64.
    ///
    /// # Errors
    /// The bytes are no message of this kind.
    pub fn decode(&self, bytes: &[u8], style: Style) -> Result<Value, String> {
        decode::message(&self.0, bytes, style)
    }
}

/// The one text there is, under its name.
struct Text(String);

impl FileResolver for Text {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        if name == NAME { File::from_source(name, &self.0) } else { Err(protox::Error::file_not_found(name)) }
    }
}

/// The bytes of a content that is nothing but base64; a `.proto` file never is.
fn base64_of(content: &str) -> Option<Vec<u8>> {
    let bare: String = content.split_ascii_whitespace().collect();
    STANDARD.decode(bare).ok().filter(|bytes| !bytes.is_empty())
}

fn described(bytes: Vec<u8>) -> Result<Vec<u8>, String> {
    let refused = |error: &dyn std::fmt::Display| format!("the base64 holds no file descriptor set: {error}");
    let mut pool = DescriptorPool::new();
    if let Err(first) = pool.decode_file_descriptor_set(bytes.as_slice()) {
        // A set without its imports, as protoc writes it unless told otherwise: what Google ships is at hand.
        pool = DescriptorPool::global();
        pool.decode_file_descriptor_set(bytes.as_slice()).map_err(|_| refused(&first))?;
        return Ok(pool.encode_to_vec());
    }
    if pool.files().len() == 0 {
        return Err(refused(&"it is empty"));
    }
    Ok(pool.encode_to_vec())
}

/// Whether braces and brackets nest too deep. Those in comments and strings are counted too, which refuses no file that people write.
fn is_deeper(content: &str) -> bool {
    let mut depth = 0_usize;
    content.bytes().any(|byte| {
        match byte {
            b'{' | b'[' | b'<' | b'(' => depth += 1,
            b'}' | b']' | b'>' | b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth > DEEPEST
    })
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use protox::prost_reflect::DescriptorPool;

    use super::compile;

    const HELLO: &str = r#"syntax = "proto3"; package hello; import "google/protobuf/timestamp.proto";
        message Ask { string name = 1; google.protobuf.Timestamp at = 2; } message Answer { string text = 1; }
        service Hello { rpc Say(Ask) returns (Answer); }"#;

    #[test]
    fn text_and_descriptor_sets_come_to_the_same() {
        let compiled = compile(HELLO).unwrap();
        let pool = DescriptorPool::decode(compiled.as_slice()).unwrap();
        assert!(pool.get_service_by_name("hello.Hello").is_some());
        let again = compile(&STANDARD.encode(&compiled)).unwrap();
        assert!(
            DescriptorPool::decode(again.as_slice()).unwrap().get_service_by_name("hello.Hello").is_some()
        );
    }

    #[test]
    fn every_mistake_is_told_with_its_place() {
        let deep = format!("syntax = \"proto3\"; {}{}", "message A {".repeat(20_000), "}".repeat(20_000));
        for (content, word) in [
            ("syntax = \"proto3\"; message A { string name }", "content.proto:1:44"),
            ("syntax = \"proto3\"; message A { B b = 1; }", "'B'"),
            ("syntax = \"proto3\"; import \"other.proto\";", "only google/protobuf/*.proto can be imported"),
            ("what is this", "content.proto:1:1"),
            (deep.as_str(), "nested deeper than 100 levels"),
            ("AAAA", "no file descriptor set"),
        ] {
            let said = compile(content).unwrap_err();
            assert!(said.contains(word), "{said}");
        }
    }
}
