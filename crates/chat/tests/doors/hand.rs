#[tokio::test(flavor = "multi_thread")]
async fn zz_serve_by_hand() {
    let side = crate::support::Side::start().await;
    std::fs::write("/tmp/insp/url", side.url()).unwrap();
    while !std::path::Path::new("/tmp/insp/stop").exists() {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}
