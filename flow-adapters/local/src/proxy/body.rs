use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::counts::Tally;
use super::endpoint::{Connection, Endpoint};
use super::flights::Flight;

/// The body of a response on its way to the client: its request is under way until the last byte.
#[derive(Debug)]
pub(super) struct Download {
    body: Incoming,
    end: End,
    connection: Option<(Connection, Arc<Endpoint>)>,
    tally: Arc<Tally>,
    _flight: Flight,
}

/// How far a body was read. A chunked one says only by its last frame that it has ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Open,
    Reached,
}

impl Download {
    pub(super) fn new(
        body: Incoming,
        connection: Connection,
        endpoint: Arc<Endpoint>,
        tally: Arc<Tally>,
        flight: Flight,
    ) -> Self {
        Self { body, end: End::Open, connection: Some((connection, endpoint)), tally, _flight: flight }
    }
}

impl Body for Download {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Ok(_)) => {}
            None => self.end = End::Reached,
            Some(Err(_)) => {
                self.tally.broke_off();
                self.connection = None;
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        // Only a connection whose response was read to its end can carry another one.
        if (self.end == End::Reached || self.body.is_end_stream())
            && let Some((connection, endpoint)) = self.connection.take()
        {
            endpoint.keep(connection);
        }
    }
}
