//! `splitmix web`

use crate::{Error, Result};
use axum::Router;
use axum::http::{HeaderName, HeaderValue};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use tower_http::services::ServeDir;
use tower_http::set_header::SetResponseHeaderLayer;

#[derive(clap::Args)]
pub(super) struct Args {
    /// Folder with the built page: web/build.sh makes it.
    #[arg(long, default_value = "web/dist")]
    dir: PathBuf,
    /// Port on this machine; 0: any that is free.
    #[arg(long, default_value_t = 8117)]
    port: u16,
    /// Only say the address, do not open a browser.
    #[arg(long)]
    no_open: bool,
}

/// Nothing is loaded from elsewhere, and nothing is sent elsewhere.
const HEADERS: [(&str, &str); 6] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self' \
         data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cache-control", "no-cache"),
];

pub(super) fn run(args: &Args) -> Result<()> {
    if !args.dir.join("index.html").is_file() {
        return Err(Error::Config(format!(
            "{} has no page: build it with web/build.sh, or name its folder with --dir",
            args.dir.display()
        )));
    }
    let cannot = |what: &str, error: std::io::Error| Error::Network(format!("the page cannot be served: {what}: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| cannot("no runtime", error))?.block_on(async {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, args.port));
        let listener = tokio::net::TcpListener::bind(address).await;
        let listener = listener.map_err(|error| cannot(&format!("port {} (choose another with --port)", args.port), error))?;
        let address = listener.local_addr().map_err(|error| cannot("its address", error))?;
        let url = format!("http://localhost:{}/", address.port());
        eprintln!("serving {} at {url}; Ctrl-C ends it", args.dir.display());
        if !args.no_open
            && let Err(error) = open::that_detached(&url)
        {
            eprintln!("note: no browser could be opened ({error}): open {url} yourself");
        }
        axum::serve(listener, router(&args.dir)).await.map_err(|error| cannot("the connection", error))
    })
}

fn router(dir: &std::path::Path) -> Router {
    let mut router = Router::new().fallback_service(ServeDir::new(dir));
    for (name, value) in HEADERS {
        let layer = SetResponseHeaderLayer::overriding(HeaderName::from_static(name), HeaderValue::from_static(value));
        router = router.layer(layer);
    }
    router
}
