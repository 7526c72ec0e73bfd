//! S3 by the project s3s: its reading of the protocol and its check of signatures, over a folder.
//!
//! Its files look at a condition first and write afterwards, and keep an object and its entity tag in two files. So
//! what changes something is let in alone, which is all that is added here to what its authors wrote: S3 decides on
//! conditions and writes in one step.

use std::path::Path;
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::RwLock;

use super::server::{BUCKET, KEY_ID, SECRET_KEY};

/// A server of this process that ends with its owner.
pub(super) struct FileServer {
    /// Its tasks end with it.
    _runtime: Runtime,
    pub(super) endpoint: String,
}

impl FileServer {
    /// Serves a bucket below a folder to whoever signs with the key.
    pub(super) fn start(folder: &Path) -> Self {
        std::fs::create_dir_all(folder.join(BUCKET)).expect("room for a bucket");
        let mut service = S3ServiceBuilder::new(FileSystem::new(folder).expect("a folder"));
        service.set_auth(SimpleAuth::from_single(KEY_ID, SECRET_KEY));
        let service = service.build();
        let runtime = super::runtime();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        runtime.spawn(serve(listener, service));
        Self { _runtime: runtime, endpoint }
    }
}

async fn serve(listener: TcpListener, service: S3Service) {
    let turns = Arc::new(RwLock::new(()));
    loop {
        let (stream, _) = listener.accept().await.expect("connections");
        let (service, turns) = (service.clone(), Arc::clone(&turns));
        let answer = service_fn(move |request: http::Request<hyper::body::Incoming>| {
            let (service, turns) = (service.clone(), Arc::clone(&turns));
            async move {
                let request = request.map(s3s::Body::from);
                // The answer to a reader holds its file open, and files are replaced whole.
                if request.method().is_safe() {
                    let _turn = turns.read().await;
                    service.call(request).await
                } else {
                    let _turn = turns.write().await;
                    service.call(request).await
                }
            }
        });
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
        // Its error says that a client was killed, which is what some are here for.
        tokio::spawn(async move { connection.await.ok() });
    }
}
