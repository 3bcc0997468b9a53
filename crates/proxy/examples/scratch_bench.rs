//! scratch
use std::sync::Arc;
use usher_proxy::{Proxy, options::Options};
use usher_store::{Store, Transaction, memory::Memory};
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let upstream = &args[1];
    let workers: usize = args[2].parse().unwrap();
    let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    rt.block_on(async {
        let store = Arc::new(Memory::new());
        let mut t = Transaction::default();
        for i in 0..1000 {
            t = t.put(
                format!("/apisix/routes/{i}"),
                serde_json::json!({"uri": format!("/r{i}/*"), "upstream": {"nodes": {upstream.as_str(): 1}}})
                    .to_string(),
            );
        }
        store.commit(t).await.unwrap();
        let registry = Arc::new(usher_pipeline::registry::Registry::new(&[]));
        let process = Arc::new(usher_pipeline::env::Process::new(
            Default::default(),
            Default::default(),
            usher_proxy::targets(),
        ));
        let keyring = Arc::new(usher_model::seal::Keyring::generate().unwrap().0);
        let options = Options { listen: vec![args[3].parse().unwrap()], workers, ..Options::default() };
        let proxy = Proxy::start(options, registry, process, store, keyring).await.unwrap();
        println!("{:?} pid {}", proxy.addresses(), std::process::id());
        tokio::signal::ctrl_c().await.unwrap();
        proxy.drain(std::time::Duration::from_secs(1)).await;
    });
}
