//! An API is published by its OpenAPI document from the command line, answers where it should and nowhere else, and packages are written.

use serde_json::json;

use crate::support::{KEY, Origin, Usher, binary, run};

#[test]
fn every_operation_of_a_document_is_reachable_and_nothing_else_is() {
    let origin = Origin::start("shop");
    let usher = Usher::start(&[]);
    let file = usher.folder.path().join("shop.json");
    let write = |paths: serde_json::Value| {
        let document = json!({ "openapi": "3.1.0", "info": { "title": "Shop" }, "servers": [{ "url": format!("http://{}/v1", origin.address) }], "paths": paths });
        std::fs::write(&file, document.to_string()).unwrap();
    };
    let import = || {
        let url = format!("http://{}", usher.address("admin"));
        let output = binary()
            .args([
                "import",
                file.to_str().unwrap(),
                "--openapi",
                "--prefix",
                "/shop",
                "--yes",
                "--url",
                &url,
            ])
            .env("USHER_ADMIN_KEY", KEY)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    write(json!({ "/items": { "get": {} }, "/items/{id}": { "get": {} }, "/old": { "get": {} } }));
    import();
    let seen = usher.get("/shop/items/7?x=1", &[]);
    assert_eq!(seen.status, 200);
    assert!(seen.json()["head"].as_str().unwrap().starts_with("GET /v1/items/7?x=1 "), "{}", seen.text());
    for (path, status) in
        [("/shop/items", 200), ("/shop/old", 200), ("/shop/items/7/parts", 404), ("/shop/nothing", 404)]
    {
        assert_eq!(usher.get(path, &[]).status, status, "{path}");
    }
    assert_eq!(
        crate::support::request(usher.address("proxy"), "DELETE", "/shop/items", &[], b"").status,
        404
    );
    assert!(import().contains("nothing differs"));
    write(json!({ "/items": { "get": {}, "delete": {} }, "/items/{id}": { "get": {} } }));
    import();
    assert_eq!(usher.get("/shop/old", &[]).status, 404);
    assert_eq!(
        crate::support::request(usher.address("proxy"), "DELETE", "/shop/items", &[], b"").status,
        200
    );
}

#[test]
fn a_package_is_written_whole_and_over_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("plugin");
    let words = ["chat-package", "--for", "openai", "-o", output.to_str().unwrap()];
    assert!(run(&words).status.success());
    let plugin = std::fs::read_to_string(output.join(".codex-plugin/plugin.json")).unwrap();
    assert!(plugin.contains("\"mcpServers\": \"./.mcp.json\""), "{plugin}");
    assert!(output.join("skills/publish-an-api/SKILL.md").exists());
    let again = run(&words);
    assert_eq!(again.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&again.stderr).contains("--force"));
    let unknown = run(&["chat-package", "--for", "emacs"]);
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("mcp-registry"));
}
