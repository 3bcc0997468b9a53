//! A client's connection from its first byte to its end: one request after the other, or the streams of HTTP/2.

use std::future::{Future as _, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use usher_http1::reject::Reject;

use super::client::Client;
use super::course::{self, Next};
use super::http2;
use super::local::Seat;

/// Serves a connection to its end.
pub(super) async fn run(client: Rc<Client>, seat: Seat) {
    let _seat = seat;
    guarded(client).await;
}

/// Serves a connection to its end. A panic on its way costs this connection alone: its client is answered with 500 where nothing was said yet.
pub(super) async fn guarded(client: Rc<Client>) {
    let mut served = pin!(serve(&client));
    let mut woken = false;
    poll_fn(|context| {
        client.local.clock.turn();
        if !std::mem::replace(&mut woken, true) {
            client.alarm.wakes(context.waker());
        }
        // What the panic left half done is dropped with the connection; nothing else can see it.
        catch_unwind(AssertUnwindSafe(|| served.as_mut().poll(context))).unwrap_or_else(|_| {
            tracing::error!(peer = %client.peer, "a request made its connection's task panic");
            let settings = &client.local.settings;
            let answer = Reject { status: 500, reason: "a panic" }.answer(&settings.server, settings.product);
            client.apologize(&answer);
            Poll::Ready(())
        })
    })
    .await;
}

async fn serve(client: &Rc<Client>) {
    let local = &client.local;
    let settings = &local.settings;
    let start = local.clock.ms();
    let mut served = 0;
    loop {
        if !client.wait(served).await {
            return client.close().await;
        }
        if served == 0 && settings.http2 && client.is_http2().await {
            // Boxed: it is large beside everything that a connection of HTTP/1 holds.
            return Box::pin(http2::serve(client)).await;
        }
        let mut state = local.lend_state();
        let head = client.head(&mut state.exchange.request.head).await;
        served += 1;
        let next = match head {
            Ok(wants) => {
                let old = local.clock.ms().saturating_sub(start) >= settings.age_ms;
                let last = old || served >= settings.requests;
                course::run(client, &mut state, wants, last).await
            }
            Err(no_head) => course::without_head(client, &mut state, no_head).await,
        };
        local.give_back(state);
        match next {
            Next::Keep => {}
            Next::Close => return client.close().await,
            Next::Cut => return,
            Next::Linger => return client.linger().await,
            Next::Leave => return client.end().await,
        }
    }
}
