//! What deploy/ and the compose files say, done on this machine without containers: their commands, their settings, their ports.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use crate::etcd::Etcd;
use crate::examples::root;
use crate::support::{Origin, Usher, binary, request, run};

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap()
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

fn words(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
}

/// The file of the project that a service of a compose file sees at this place.
fn mounted(folder: &str, service: &Value, place: &str) -> String {
    let volumes = words(&service["volumes"]);
    let found = volumes.iter().find_map(|volume| {
        let mut parts = volume.split(':');
        let source = parts.next()?;
        (parts.next()? == place).then(|| source.to_owned())
    });
    read(Path::new(folder).join(found.unwrap()).to_str().unwrap())
}

/// Starts a gateway as a container would be: these words and settings, but an etcd and ports of this machine.
fn gateway(command: &[String], settings: &str, etcd: &Etcd, keyring: Option<&Path>) -> Usher {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let config = folder.path().join("config.yaml");
    std::fs::write(&config, settings).unwrap();
    assert_eq!(command.first().map(String::as_str), Some("serve"), "{command:?}");
    let mut words = Vec::new();
    let mut before = "";
    for word in &command[1..] {
        words.push(match before {
            "--config" => config.to_str().unwrap().to_owned(),
            "--store" => etcd.address(),
            "--keyring-file" => keyring.unwrap().to_str().unwrap().to_owned(),
            _ => word.clone(),
        });
        before = word;
    }
    // Whatever listens by the settings takes a free port here.
    for side in ["tls", "status"] {
        words.extend([format!("--{side}-listen"), "127.0.0.1:0".to_owned()]);
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    Usher::start_in(folder, &words)
}

/// What the health check of the image asks, at this gateway.
fn is_healthy(gateway: &Usher) {
    let dockerfile = read("Dockerfile");
    let check = dockerfile.lines().find(|line| line.starts_with("HEALTHCHECK")).unwrap();
    assert!(check.ends_with(r#"CMD ["/usr/bin/usher", "status", "--ready"]"#), "{check}");
    let url = format!("http://{}", gateway.address("status"));
    let said = run(&["status", "--ready", &url]);
    assert!(said.status.success(), "{said:?}");
}

#[test]
fn the_compose_file_s_commands_lead_from_nothing_to_a_served_route() {
    let text = read("docker-compose.yml");
    let compose = yaml(&text);
    let api = words(&compose["services"]["conference"]["command"]);
    assert_eq!(api[..2], ["sample-api", "--listen"], "{api:?}");
    let etcd = Etcd::start();
    let service = &compose["services"]["usher"];
    let settings = mounted(".", service, "/etc/usher/config.yaml");
    let usher = gateway(&words(&service["command"]), &settings, &etcd, None);
    is_healthy(&usher);
    let origin = Origin::start("conference");
    let sentence = text.lines().find_map(|line| line.split_once("usher chat --yes \"")).unwrap().1;
    let sentence = sentence.trim_end_matches('"').replace("conference:1980", &origin.address.to_string());
    let url = format!("http://{}", usher.address("chat"));
    let said = run(&["chat", "--url", &url, "--yes", &sentence]);
    assert!(said.status.success(), "{said:?}");
    assert_eq!(usher.get("/speaker/1/sessions", &[]).status, 200);
}

#[test]
fn the_cluster_s_gateways_share_one_configuration_and_its_secrets() {
    let compose = yaml(&read("deploy/compose/cluster.yml"));
    let keyring = tempfile::tempdir().unwrap();
    let made = binary()
        .args(words(&compose["services"]["keyring"]["command"]))
        .current_dir(keyring.path())
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let etcd = Etcd::start();
    let gateways: Vec<Usher> = ["usher-1", "usher-2", "usher-3"]
        .iter()
        .map(|name| {
            let service = &compose["services"][name];
            let command = words(&service["command"]);
            let at = command.iter().position(|word| word == "--keyring-file").unwrap() + 1;
            // The volume holds the working folder of the container that made it.
            let file = keyring.path().join(command[at].strip_prefix("/run/keyring/").unwrap());
            let settings = mounted("deploy/compose", service, "/etc/usher/config.yaml");
            gateway(&command, &settings, &etcd, Some(&file))
        })
        .collect();
    let origin = Origin::start("a");
    let rose = serde_json::json!({ "username": "rose", "plugins": { "key-auth": { "key": "roses-key" } } });
    gateways[0].put("/consumers/rose", &rose);
    let route =
        serde_json::json!({ "uri": "/a", "plugins": { "key-auth": {} }, "upstream": origin.upstream() });
    gateways[1].put("/routes/a", &route);
    for gateway in &gateways {
        is_healthy(gateway);
        crate::support::eventually("the route on every gateway", || {
            gateway.get("/a", &[("apikey", "roses-key")]).status == 200
        });
    }
}

#[test]
fn kubernetes_gets_flags_ports_and_probes_that_are_there() {
    let text = read("deploy/kubernetes/usher.yaml");
    let objects: Vec<Value> = text.split("\n---\n").map(yaml).collect();
    let of = |kind: &str| objects.iter().find(|object| object["kind"] == kind).unwrap();
    let settings = of("ConfigMap")["data"]["config.yaml"].as_str().unwrap();
    let container = &of("Deployment")["spec"]["template"]["spec"]["containers"][0];
    let shared = tempfile::tempdir().unwrap();
    let made = run(&["keyring", "init", "--data", shared.path().to_str().unwrap()]);
    assert!(made.status.success(), "{made:?}");
    let etcd = Etcd::start();
    let keyring = shared.path().join("keyring.key");
    // A secret of Kubernetes is readable for the group of the pod.
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(&keyring, std::fs::Permissions::from_mode(0o440)).unwrap();
    let usher = gateway(&words(&container["args"]), settings, &etcd, Some(&keyring));
    for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
        let path = container[probe]["httpGet"]["path"].as_str().unwrap();
        let seen = request(usher.address("status"), "GET", path, &[("Host", "10.1.2.3:7085")], b"");
        // On all addresses, as in the pod, every name would do; here it listens on loopback.
        assert!(matches!(seen.status, 200 | 421), "{probe}: {}", seen.status);
    }
    let named = |list: &Value, member: &str| -> Vec<Value> {
        list.as_array().unwrap().iter().map(|one| one[member].clone()).collect()
    };
    let listened = yaml(settings)["listen"].to_string();
    for port in named(&container["ports"], "containerPort") {
        assert!(listened.contains(&format!("0.0.0.0:{port}")), "port {port} isn't listened to: {listened}");
    }
    let names = named(&container["ports"], "name");
    for service in objects.iter().filter(|object| object["kind"] == "Service") {
        for port in named(&service["spec"]["ports"], "targetPort") {
            assert!(names.contains(&port), "{port} is no port of the container");
        }
    }
    let volumes = named(&of("Deployment")["spec"]["template"]["spec"]["volumes"], "name");
    assert_eq!(named(&container["volumeMounts"], "name"), volumes);
}

#[test]
fn the_chart_says_what_the_manifests_say() {
    let objects: Vec<Value> = read("deploy/kubernetes/usher.yaml").split("\n---\n").map(yaml).collect();
    let settings = objects.iter().find_map(|object| object["data"]["config.yaml"].as_str()).unwrap();
    let values = yaml(&read("deploy/helm/usher/values.yaml"));
    assert_eq!(values["settings"], yaml(settings));
    let deployment = objects.iter().find(|object| object["kind"] == "Deployment").unwrap();
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let chart = read("deploy/helm/usher/templates/gateway.yaml");
    for word in words(&container["args"]) {
        let value = values["store"] == word;
        assert!(value || chart.contains(&format!("- {word}\n")), "the chart lacks {word}");
    }
    for port in container["ports"].as_array().unwrap() {
        let line =
            format!("{{name: {}, containerPort: {}}}", port["name"].as_str().unwrap(), port["containerPort"]);
        assert!(chart.contains(&line), "the chart lacks {line}");
    }
    let version = format!("appVersion: \"{}\"", env!("CARGO_PKG_VERSION"));
    assert!(read("deploy/helm/usher/Chart.yaml").contains(&version), "the chart is of another version");
    for file in ["docker-compose.yml", "deploy/compose/cluster.yml", "deploy/kubernetes/usher.yaml"] {
        let image = format!("image: usher:{}\n", env!("CARGO_PKG_VERSION"));
        assert!(read(file).contains(&image), "{file} is of another version");
    }
}

#[test]
fn the_image_listens_where_it_says_and_names_files_that_are_there() {
    let dockerfile = read("Dockerfile");
    let settings = read("deploy/docker/config.yaml");
    let listened = yaml(&settings)["listen"].to_string();
    let exposed = dockerfile.lines().find_map(|line| line.strip_prefix("EXPOSE ")).unwrap();
    for port in exposed.split(' ') {
        assert!(listened.contains(&format!(":{port}\"")), "{port} isn't listened to: {listened}");
    }
    for line in dockerfile.lines().filter(|line| line.starts_with("COPY deploy/")) {
        let file = line.split(' ').nth(1).unwrap();
        assert!(root().join(file).exists(), "{file}");
        assert!(read(".dockerignore").contains(&format!("!{file}")), "{file} is not given to the build");
    }
    assert!(dockerfile.contains("\nUSER 65532:65532\n"), "it doesn't run as root");
    let built = dockerfile.lines().find(|line| line.starts_with("FROM rust:")).unwrap();
    let wanted =
        read("Cargo.toml").lines().find_map(|line| line.strip_prefix("rust-version = ").map(str::to_owned));
    assert!(
        built.contains(wanted.unwrap().trim_matches('"')),
        "{built} is another compiler than Cargo.toml's"
    );
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let config = folder.path().join("config.yaml");
    std::fs::write(&config, settings).unwrap();
    let words =
        ["--config", config.to_str().unwrap(), "--tls-listen", "off", "--status-listen", "127.0.0.1:0"];
    let usher = Usher::start_in(Arc::clone(&folder), &words);
    is_healthy(&usher);
}

#[test]
fn the_unit_starts_the_program_with_settings_that_are_there() {
    let unit = read("deploy/systemd/usher.service");
    let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    assert_eq!(start, "/usr/bin/usher serve --config /etc/usher/config.yaml");
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let log = folder.path().join("access.log");
    let settings =
        read("deploy/systemd/config.yaml").replace("/var/log/usher/access.log", log.to_str().unwrap());
    let config = folder.path().join("config.yaml");
    std::fs::write(&config, settings).unwrap();
    let usher = Usher::start_in(
        Arc::clone(&folder),
        &["--config", config.to_str().unwrap(), "--status-listen", "127.0.0.1:0"],
    );
    is_healthy(&usher);
    usher.get("/x", &[]);
    assert!(usher.terminate().success());
    assert!(std::fs::read_to_string(&log).unwrap().contains("GET /x"));
    // Where systemd is at hand it judges the unit itself; it looks for the program that isn't installed here.
    let text = unit.replace("/usr/bin/usher", env!("CARGO_BIN_EXE_usher"));
    let path = folder.path().join("usher.service");
    std::fs::write(&path, text).unwrap();
    if let Ok(said) = std::process::Command::new("systemd-analyze").arg("verify").arg(&path).output() {
        let told = String::from_utf8_lossy(&said.stderr);
        assert!(said.status.success() && !told.contains("usher.service"), "{told}");
    }
}

#[test]
fn the_debian_package_names_files_that_are_there_or_made_for_it() {
    let manifest = read("crates/gateway/Cargo.toml");
    let (_, deb) = manifest.split_once("[package.metadata.deb]\n").unwrap();
    let deb = deb.split("\n[").next().unwrap();
    let made = read("xtask/src/debian.rs");
    let mut placed = Vec::new();
    for line in deb.lines().map(str::trim).filter(|line| line.starts_with("[\"")) {
        let words: Vec<&str> = line.split('"').skip(1).step_by(2).collect();
        let [from, to, mode] = words[..] else { panic!("{line} is no asset") };
        assert!(matches!(mode, "644" | "755"), "{line}");
        let name = from.rsplit('/').next().unwrap();
        if let Some(name) = from.strip_prefix("../../target/package/") {
            assert!(made.contains(&format!("\"{name}\"")), "`cargo xtask deb` doesn't make {name}");
        } else if let Some(file) = from.strip_prefix("../../") {
            let file = file.trim_end_matches("**/*");
            assert!(root().join(file).exists(), "the package names {file}, which isn't there");
        } else {
            assert_eq!(from, "target/release/usher");
        }
        placed.push(if to.ends_with('/') { format!("/{to}{name}") } else { format!("/{to}") });
    }
    let member =
        |name: &str| deb.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name}"));
    for kept in member("conf-files").split('"').skip(1).step_by(2) {
        assert!(
            placed.iter().any(|place| place == kept),
            "{kept} is kept at upgrades, but not in the package"
        );
    }
    let licence = member("license-file").split('"').nth(1).unwrap();
    assert!(root().join("crates/gateway").join(licence).exists(), "{licence}");
    let unit = member("systemd-units");
    assert!(
        unit.contains("unit-name = \"usher\"") && unit.contains("unit-scripts = \"../../deploy/systemd\""),
        "{unit}"
    );
    let scripts = root().join("crates/gateway").join(member("maintainer-scripts").split('"').nth(1).unwrap());
    for script in ["postinst", "prerm", "postrm"] {
        let text = std::fs::read_to_string(scripts.join(script)).unwrap();
        assert!(text.starts_with("#!/bin/sh\n") && text.contains("\n#DEBHELPER#\n"), "{script}: {text}");
    }
    // What the unit and its settings name is what the package brings.
    let service = read("deploy/systemd/usher.service");
    for place in ["/usr/bin/usher", "/etc/usher/config.yaml", "/usr/share/doc/usher/README.md"] {
        assert!(service.contains(place) && placed.iter().any(|one| one == place), "{place}: {placed:?}");
    }
}

#[test]
fn a_health_check_tells_a_gateway_that_is_not_there_from_one_that_is() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let said = run(&["status", "--ready", &format!("http://{free}")]);
    assert_eq!(said.status.code(), Some(7), "{said:?}");
    assert!(String::from_utf8_lossy(&said.stderr).contains("--status-listen"), "{said:?}");
    assert_eq!(run(&["status", "--ready", "nonsense"]).status.code(), Some(2));
}

#[test]
fn a_shared_keyring_is_taken_and_never_loses_a_key() {
    let shared = tempfile::tempdir().unwrap();
    let init = |data: &Path, from: Option<&Path>| {
        let mut command = binary();
        command.args(["keyring", "init", "--data", data.to_str().unwrap()]);
        if let Some(from) = from {
            command.arg("--from").arg(from);
        }
        command.output().unwrap()
    };
    assert!(init(shared.path(), None).status.success());
    let file = shared.path().join("keyring.key");
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let usher = Usher::start_in(Arc::clone(&folder), &["--keyring-file", file.to_str().unwrap()]);
    let own = folder.path().join("data/keyring.key");
    assert_eq!(std::fs::read(&own).unwrap(), std::fs::read(&file).unwrap());
    drop(usher);
    let other = tempfile::tempdir().unwrap();
    assert!(init(other.path(), None).status.success());
    let before = std::fs::read(&own).unwrap();
    let refused = init(&folder.path().join("data"), Some(&other.path().join("keyring.key")));
    assert!(
        !refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("it stays"),
        "{refused:?}"
    );
    assert_eq!(std::fs::read(&own).unwrap(), before);
}

/// What another program says of our files; `None`, and a word about it, where it isn't here.
fn judge(words: &[&str], settings: &[(&str, &str)]) -> Option<std::process::Output> {
    let (program, rest) = words.split_first().unwrap();
    let mut command = std::process::Command::new(program);
    match command.args(rest).envs(settings.iter().copied()).current_dir(root()).output() {
        Ok(said) => Some(said),
        Err(error) => {
            println!("skipped: {program} can't be started ({error})");
            None
        }
    }
}

#[test]
fn compose_reads_the_compose_files_where_it_is_installed() {
    let has = |words: &[&str]| judge(words, &[]).is_some_and(|said| said.status.success());
    let compose: &[&str] = if has(&["docker", "compose", "version"]) {
        &["docker", "compose"]
    } else if has(&["docker-compose", "version"]) {
        &["docker-compose"]
    } else {
        println!("skipped: neither `docker compose` nor docker-compose is here");
        return;
    };
    let settings = [("USHER_ADMIN_KEY", "0123456789abcdef"), ("GRAFANA_PASSWORD", "x")];
    for file in ["docker-compose.yml", "deploy/compose/cluster.yml"] {
        let words = [compose, &["-f", file, "config", "--quiet"]].concat();
        let said = judge(&words, &settings).unwrap();
        assert!(said.status.success(), "{file}: {}", String::from_utf8_lossy(&said.stderr));
    }
    // Without the secrets that it asks for, the cluster says so instead of starting open.
    let words = [compose, &["-f", "deploy/compose/cluster.yml", "config", "--quiet"]].concat();
    let said = judge(&words, &[("USHER_ADMIN_KEY", ""), ("GRAFANA_PASSWORD", "")]).unwrap();
    let told = String::from_utf8_lossy(&said.stderr);
    assert!(!said.status.success() && told.contains("openssl rand"), "{told}");
}

/// `pip install kubernetes-validate` brings the schemas, Helm renders the chart.
#[test]
fn kubernetes_schemas_take_the_manifests_and_the_chart_where_they_are_installed() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = vec!["deploy/kubernetes/usher.yaml".to_owned(), "deploy/kubernetes/etcd.yaml".to_owned()];
    let chart = ["helm", "template", "usher", "deploy/helm/usher", "--namespace", "usher"];
    for (name, values) in
        [("plain", &[] as &[&str]), ("small", &["--set", "replicas=1,service.type=ClusterIP"])]
    {
        let Some(said) = judge(&[&chart, values].concat(), &[]) else { break };
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        let path = folder.path().join(format!("{name}.yaml"));
        std::fs::write(&path, &said.stdout).unwrap();
        files.push(path.to_str().unwrap().to_owned());
    }
    for file in files {
        let Some(said) = judge(&["kubernetes-validate", "--strict", &file], &[]) else { return };
        let told = String::from_utf8_lossy(&said.stdout) + String::from_utf8_lossy(&said.stderr);
        assert!(said.status.success() && told.contains("passed"), "{file}: {told}");
    }
    let bad = folder.path().join("bad.yaml");
    std::fs::write(&bad, read("deploy/kubernetes/usher.yaml").replace("replicas: 3", "replicas: three"))
        .unwrap();
    let said = judge(&["kubernetes-validate", "--strict", bad.to_str().unwrap()], &[]).unwrap();
    assert!(!said.status.success(), "it takes everything");
}
