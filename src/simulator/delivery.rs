//! Bodies that arrive whole, cut short, never to the end, or behind any amount of white space.
//!
//! A cut body waits a moment before it fails: hyper drops what it has not flushed when a body fails at once, and
//! then nothing at all would arrive.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, StreamExt as _};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;

use super::effects::Delivery;

/// How much white space is sent at once before a padded answer.
const PADDING: usize = 16 * 1024;

pub(super) type Body = BoxBody<Bytes, io::Error>;

/// Returns the length to announce and the body to send.
pub(super) fn body(whole: Bytes, delivery: Delivery) -> (u64, Body) {
    let half = whole.slice(..whole.len() / 2);
    let length = whole.len() as u64;
    match delivery {
        Delivery::Truncated => (length, cut(half)),
        Delivery::StalledHalfway => (length, boxed(stream::iter([half]).chain(stream::pending()))),
        Delivery::Padded(bytes) => (length.saturating_add(bytes), padded(bytes, whole)),
        Delivery::Whole | Delivery::Never | Delivery::Reset => {
            (length, Full::new(whole).map_err(|never: Infallible| match never {}).boxed())
        }
    }
}

fn boxed(chunks: impl stream::Stream<Item = Bytes> + Send + Sync + 'static) -> Body {
    BodyExt::boxed(StreamBody::new(chunks.map(|chunk| Ok(Frame::data(chunk)))))
}

/// A body that ends in an error after its first part has had time to leave.
fn cut(part: Bytes) -> Body {
    let broken = stream::once(async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        Err(io::Error::from(io::ErrorKind::UnexpectedEof))
    });
    BodyExt::boxed(StreamBody::new(stream::iter([Ok(Frame::data(part))]).chain(broken)))
}

fn padded(bytes: u64, answer: Bytes) -> Body {
    let blank = Bytes::from_static(&[b' '; PADDING]);
    let chunks = stream::unfold(bytes, move |left| {
        let size = usize::try_from(left).unwrap_or(PADDING).min(PADDING);
        let chunk = (size > 0).then(|| (blank.slice(..size), left - size as u64));
        std::future::ready(chunk)
    });
    boxed(chunks.chain(stream::iter([answer])))
}
