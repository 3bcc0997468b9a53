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

#[test]
fn an_api_has_its_own_files_for_chats_and_a_key_guards_its_calls() {
    let origin = Origin::start("shop");
    let usher = Usher::start(&[]);
    let file = usher.folder.path().join("shop.json");
    let mut paths = serde_json::Map::new();
    for number in 0..40 {
        let get = json!({ "summary": "s".repeat(400), "parameters": [{ "name": "q", "in": "query", "description": "p".repeat(900), "schema": { "type": "string" } }],
            "responses": { "200": { "description": "d".repeat(400) } } });
        paths.insert(format!("/things-{number}/{{id}}"), json!({ "get": get, "post": { "responses": {} } }));
    }
    let write = |title: &str| {
        let document = json!({ "openapi": "3.1.0", "info": { "title": title, "version": "1", "description": "m".repeat(9_000) },
            "servers": [{ "url": format!("http://{}/v1", origin.address) }], "paths": paths });
        std::fs::write(&file, document.to_string()).unwrap();
    };
    write("Shop");
    let import = |more: &[&str]| {
        let url = format!("http://{}", usher.address("admin"));
        let words = [
            "import",
            file.to_str().unwrap(),
            "--openapi",
            "--prefix",
            "/shop",
            "--id",
            "shop",
            "--yes",
            "--url",
            &url,
        ];
        let output = binary().args(words).args(more).env("USHER_ADMIN_KEY", KEY).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let said = import(&["--chat-key", "Authorization"]);
    assert!(said.contains("the API has 80"), "what is left out is said: {said}");
    let jack = json!({ "username": "jack", "plugins": { "key-auth": { "key": "Bearer canary-7f1" } } });
    usher.put("/consumers/jack", &jack);
    let patch = |path: &str, body: &serde_json::Value| {
        let answer = usher.admin("PATCH", path, Some(body));
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    patch("/services/shop", &json!({ "plugins": { "key-auth": { "header": "Authorization" } } }));

    let base = format!("http://{}", usher.address("proxy"));
    let fetched = |place: &str| {
        let answer = usher.get(place, &[]);
        assert_eq!(answer.status, 200, "{place}: {}", answer.text());
        assert!(answer.text().chars().count() < 100_000, "{place} is too long for a chat");
        assert!(!answer.text().contains("canary"), "{place}");
        answer
    };
    let manifest = fetched("/shop/.well-known/ai-plugin.json").json();
    let chars = |value: &serde_json::Value| value.as_str().unwrap().chars().count();
    for (member, most) in [
        ("name_for_model", 50),
        ("name_for_human", 20),
        ("description_for_model", 8_000),
        ("description_for_human", 100),
    ] {
        assert!((1..=most).contains(&chars(&manifest[member])), "{member}: {}", manifest[member]);
    }
    assert_eq!(manifest["auth"]["authorization_type"], "bearer");
    assert_eq!(manifest["api"]["url"], format!("{base}/shop/openapi.yaml"));
    assert!(fetched("/shop/openapi.yaml").text().contains(&format!("{base}/shop")));
    let whole = fetched("/shop/openapi.json").json();
    assert_eq!(whole["servers"], json!([{ "url": format!("{base}/shop") }]));

    let actions = fetched("/shop/actions.json").json();
    assert_eq!(actions["servers"], json!([{ "url": format!("{base}/shop") }]));
    let mut names = std::collections::BTreeSet::new();
    for (method, operation) in
        actions["paths"].as_object().unwrap().values().flat_map(|item| item.as_object().unwrap())
    {
        let name = operation["operationId"].as_str().unwrap();
        assert!(
            name.len() <= 64
                && name.chars().all(|letter| letter.is_ascii_alphanumeric() || "_-".contains(letter)),
            "{name}"
        );
        assert!(names.insert(name.to_owned()), "{name} stands twice");
        assert!(operation["summary"].as_str().is_none_or(|text| text.chars().count() <= 300));
        assert_eq!(operation["x-openai-isConsequential"], method != "get");
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            assert!(chars(&parameter["description"]) <= 700 && parameter["in"] != "header");
        }
    }
    assert_eq!(names.len(), 30);

    // The address that the document names, with and without the key.
    let call =
        format!("{}/things-0/7", actions["servers"][0]["url"].as_str().unwrap().strip_prefix(&base).unwrap());
    assert_eq!(usher.get(&call, &[]).status, 401);
    assert_eq!(usher.get(&call, &[("Authorization", "Bearer wrong")]).status, 401);
    let served = usher.get(&call, &[("Authorization", "Bearer canary-7f1")]);
    assert_eq!(
        (served.status, served.json()["head"].as_str().unwrap().starts_with("GET /v1/things-0/7 ")),
        (200, true)
    );

    let package = usher.folder.path().join("package");
    let write_package = |client: &str| {
        run(&[
            "chat-package",
            "--for",
            client,
            "--api",
            "/shop",
            "--url",
            &base,
            "-o",
            package.to_str().unwrap(),
            "--force",
        ])
    };
    let output = write_package("plugin-2023");
    assert!(output.status.success(), "{output:?}");
    let written: serde_json::Value =
        serde_json::from_slice(&std::fs::read(package.join("ai-plugin.json")).unwrap()).unwrap();
    assert_eq!(written, manifest);
    assert!(write_package("actions").status.success());
    let written: serde_json::Value =
        serde_json::from_slice(&std::fs::read(package.join("openapi.json")).unwrap()).unwrap();
    assert_eq!(written, actions);
    assert!(String::from_utf8_lossy(&write_package("claude").stderr).contains("--for actions"));

    // What stands on the files' own route is applied to them, and stays when a newer document comes.
    let own = json!({ "plugins": { "ip-restriction": { "whitelist": ["203.0.113.0/24"] }, "chat-files": { "contact_email": "team@shop.test" } } });
    patch("/routes/shop.chat-files", &own);
    assert_eq!(usher.get("/shop/actions.json", &[]).status, 403);
    write("Shop of today");
    import(&[]);
    assert_eq!(usher.get("/shop/actions.json", &[]).status, 403);
    let open = json!({ "plugins": { "ip-restriction": null } });
    patch("/routes/shop.chat-files", &open);
    let manifest = fetched("/shop/.well-known/ai-plugin.json").json();
    assert_eq!(
        (&manifest["name_for_human"], &manifest["contact_email"]),
        (&json!("Shop of today"), &json!("team@shop.test"))
    );
    assert_eq!(manifest["auth"]["type"], "service_http");
}
