//! The connection: a token, a socket or stream, a session; its heartbeat and its token's renewal; and when to come back.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use tidegate_protocol::code::{self, ErrorCode};
use tidegate_protocol::frame::{ClientFrame, Hello, Refresh, Refreshed, Welcome};

use super::transport::Choice;
use super::words::{Effect, Problem, State, Transport, Transports};
use super::{Context, NEVER};

/// How long a token source may take.
const TOKEN_MS: u64 = 30_000;
/// How long after a `ping` is due silence means that the socket is dead.
const GRACE_MS: u64 = 8000;
/// A session that broke this soon may have been broken by a proxy.
const YOUNG_MS: u64 = 5000;
/// A session that lasted this long had nothing wrong with it: the next wait is a first one.
const STABLE_MS: u64 = 10_000;
/// A token that could not be renewed is tried again after this, and no renewal comes sooner.
const RENEW_MS: u64 = 5000;

#[derive(Debug)]
pub(super) struct Connection {
    phase: Phase,
    state: State,
    /// Attempts since the last stable session.
    attempt: u32,
    last_ask: u32,
    transport: Choice,
    /// A stream's token: for publishes, and for the next stream.
    token: String,
    /// Tenant and subject of the first session. Another one's cursors and components would not fit.
    identity: Option<(String, String)>,
    /// The last error that was about the session itself.
    blame: Option<Problem>,
}

#[derive(Debug)]
enum Phase {
    Idle,
    Token { ask: u32, by: u64 },
    Socket { token: String, by: u64 },
    Handshake { by: u64 },
    Open(Session),
    Waiting { until: u64 },
    Closed,
}

#[derive(Debug)]
struct Session {
    since: u64,
    heard: u64,
    silence: u64,
    renewal: Renewal,
    /// The node is draining: when to come back to another.
    move_at: Option<u64>,
}

#[derive(Debug)]
enum Renewal {
    Never,
    At(u64),
    Asked { ask: u32, by: u64 },
    Sent { id: u32, by: u64 },
}

impl Connection {
    pub(super) fn new(transports: Transports) -> Self {
        Self {
            phase: Phase::Idle,
            state: State::Connecting,
            attempt: 0,
            last_ask: 0,
            transport: Choice::new(transports),
            token: String::new(),
            identity: None,
            blame: None,
        }
    }

    pub(super) fn state(&self) -> &State {
        &self.state
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open(_))
    }

    /// Whether frames may come.
    pub(super) fn has_socket(&self) -> bool {
        matches!(self.phase, Phase::Handshake { .. } | Phase::Open(_))
    }

    pub(super) fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Idle)
    }

    pub(super) fn is_waiting(&self) -> bool {
        matches!(self.phase, Phase::Waiting { .. })
    }

    pub(super) fn transport(&self) -> Transport {
        self.transport.current()
    }

    pub(super) fn stream_token(&self) -> &str {
        &self.token
    }

    /// The network may be another one.
    pub(super) fn forget_transport(&mut self) {
        self.transport.forget();
    }

    /// Begins an attempt.
    pub(super) fn start(&mut self, cx: &mut Context) {
        self.transport.choose(cx.now);
        let ask = self.ask(cx);
        self.blame = None;
        self.phase = Phase::Token { ask, by: cx.now + TOKEN_MS };
        if self.state != State::Connecting {
            self.enter(cx, State::Connecting);
        }
    }

    pub(super) fn token(&mut self, cx: &mut Context, answered: u32, token: Result<String, String>) {
        match &mut self.phase {
            Phase::Token { ask, .. } if *ask == answered => match token {
                Ok(token) if self.transport() == Transport::Stream => {
                    self.token = token;
                    self.open_stream(cx);
                }
                Ok(token) => {
                    self.phase = Phase::Socket { token, by: cx.now + self.transport.patience() };
                    cx.effects.push_back(Effect::Connect);
                }
                Err(message) => self.wait(cx, Problem::own("token_unavailable", message)),
            },
            Phase::Open(session) => {
                if !matches!(session.renewal, Renewal::Asked { ask, .. } if ask == answered) {
                    return;
                }
                session.renewal = match token {
                    Ok(token) if self.transport.current() == Transport::Stream => {
                        self.token = token;
                        return self.open_stream(cx);
                    }
                    Ok(token) => {
                        let id = cx.next_id();
                        cx.send(&ClientFrame::Refresh(Refresh { id, token }));
                        Renewal::Sent { id, by: cx.now + TOKEN_MS }
                    }
                    Err(_) => Renewal::At(cx.now + RENEW_MS),
                };
            }
            _ => {}
        }
    }

    pub(super) fn socket_opened(&mut self, cx: &mut Context) {
        let Phase::Socket { token, by } = &mut self.phase else { return };
        let (token, by) = (core::mem::take(token), *by);
        self.phase = Phase::Handshake { by };
        cx.send(&hello(cx, token));
    }

    /// Opens a stream; the one that there may be goes on in it.
    pub(super) fn open_stream(&mut self, cx: &mut Context) {
        self.phase = Phase::Handshake { by: cx.now + self.transport.patience() };
        cx.effects.push_back(Effect::OpenStream);
    }

    /// What a stream begins with.
    pub(super) fn stream_hello(&self, cx: &Context) -> ClientFrame {
        hello(cx, self.token.clone())
    }

    pub(super) fn socket_closed(&mut self, cx: &mut Context, code: u16, reason: &str) {
        if !matches!(self.phase, Phase::Socket { .. } | Phase::Handshake { .. } | Phase::Open(_)) {
            return;
        }
        let known = code::CLOSE_CODES.iter().find(|known| known.code == code);
        let unspoken = self.blame.is_none() && known.is_none();
        // A request for a stream is refused by a status, which has no terminal codes.
        let refused = self.transport() == Transport::Stream && matches!(self.phase, Phase::Handshake { .. });
        let refused = refused && self.blame.as_ref().is_some_and(|problem| !problem.retryable);
        let problem = self.blame.take().unwrap_or_else(|| match known {
            Some(known) => Problem::own(known.reason, known.reason),
            None if reason.is_empty() => Problem::own("socket_closed", "the socket was closed or could not be opened"),
            None => Problem::own("socket_closed", reason.to_owned()),
        });
        let expired = code == code::TOKEN_EXPIRED.code || problem.code == ErrorCode::TokenExpired.name();
        if code::is_terminal(code) || refused || (expired && !cx.options.renewable) {
            self.end(cx, Some(problem.forever()));
        } else {
            let young = !matches!(&self.phase, Phase::Open(session) if cx.now >= session.since + YOUNG_MS);
            let at_once = unspoken && young && self.transport.failed(cx.now, false);
            self.come_back(cx, problem, at_once);
        }
    }

    pub(super) fn welcome(&mut self, cx: &mut Context, welcome: Welcome) {
        if !matches!(self.phase, Phase::Handshake { .. }) {
            return self.drop_socket(cx, "a second welcome".into());
        }
        let identity = (welcome.tenant.clone(), welcome.subject.clone());
        if self.identity.as_ref().is_some_and(|first| *first != identity) {
            cx.effects.push_back(Effect::Disconnect { code: 1000, reason: "identity_changed" });
            let problem = Problem::own("identity_changed", "the token is now another tenant's or subject's");
            return self.end(cx, Some(problem.forever()));
        }
        self.identity = Some(identity);
        self.phase = Phase::Open(Session {
            since: cx.now,
            heard: cx.now,
            silence: welcome.heartbeat_ms + GRACE_MS,
            renewal: renewal(cx, welcome.expires),
            move_at: None,
        });
        if matches!(self.state, State::Open(_)) {
            // One stream went on in another: nothing that the application has to know.
            self.state = State::Open(Arc::new(welcome));
        } else {
            self.enter(cx, State::Open(Arc::new(welcome)));
        }
    }

    /// Something arrived: the socket lives.
    pub(super) fn heard(&mut self, now: u64) {
        if let Phase::Open(session) = &mut self.phase {
            session.heard = now;
        }
    }

    pub(super) fn refreshed(&mut self, cx: &mut Context, frame: Refreshed) {
        if let Phase::Open(session) = &mut self.phase
            && matches!(session.renewal, Renewal::Sent { id, .. } if id == frame.id)
        {
            session.renewal = renewal(cx, frame.expires);
        }
    }

    /// The node is draining. The session goes on until the bridge ends it or the delay has passed.
    pub(super) fn move_after(&mut self, now: u64, delay_ms: u64) {
        if let Phase::Open(session) = &mut self.phase {
            session.move_at = Some(now + delay_ms);
        }
    }

    /// An error that answers the frame `id`, or no frame at all.
    pub(super) fn failed(&mut self, cx: &mut Context, id: Option<u32>, problem: Problem) {
        if let Phase::Open(session) = &mut self.phase
            && let Renewal::Sent { id: sent, .. } = session.renewal
            && id == Some(sent)
        {
            if problem.retryable {
                session.renewal = Renewal::At(cx.now + RENEW_MS);
            } else {
                cx.effects.push_back(Effect::Disconnect { code: 1000, reason: "token_refused" });
                self.end(cx, Some(problem));
            }
        } else {
            self.blame = Some(problem);
        }
    }

    /// The bridge broke the protocol: comes back and resumes from the cursors.
    pub(super) fn drop_socket(&mut self, cx: &mut Context, what: alloc::borrow::Cow<'static, str>) {
        // 3501 and its like are the bridge's to say; 4000–4499 are a client's.
        cx.effects.push_back(Effect::Disconnect { code: 4001, reason: code::PROTOCOL_ERROR.reason });
        self.wait(cx, Problem::own(code::PROTOCOL_ERROR.reason, what));
    }

    /// Ends for good.
    pub(super) fn end(&mut self, cx: &mut Context, problem: Option<Problem>) {
        self.phase = Phase::Closed;
        self.enter(cx, State::Closed(problem));
    }

    pub(super) fn tick(&mut self, cx: &mut Context) {
        if cx.now < self.deadline() {
            return;
        }
        match &mut self.phase {
            Phase::Token { .. } => self.wait(cx, Problem::own("token_unavailable", "the token source did not answer")),
            Phase::Socket { .. } | Phase::Handshake { .. } => {
                cx.effects.push_back(Effect::Disconnect { code: 4002, reason: "handshake_timeout" });
                let at_once = self.transport.failed(cx.now, true);
                self.come_back(cx, Problem::known(ErrorCode::HandshakeTimeout, "no session in time"), at_once);
            }
            Phase::Waiting { .. } => self.start(cx),
            Phase::Open(session) => {
                if cx.now >= session.heard + session.silence {
                    cx.effects.push_back(Effect::Disconnect { code: 4003, reason: "heartbeat_missed" });
                    // What let nothing pass but `welcome` is no bridge that has fallen silent.
                    let at_once = session.heard == session.since && self.transport.failed(cx.now, true);
                    let problem = Problem::own("heartbeat_missed", "the bridge has fallen silent");
                    return self.come_back(cx, problem, at_once);
                }
                if session.move_at.is_some_and(|at| cx.now >= at) {
                    cx.effects.push_back(Effect::Disconnect { code: 1000, reason: "reconnect" });
                    return self.wait(cx, draining());
                }
                self.renew(cx);
            }
            Phase::Idle | Phase::Closed => {}
        }
    }

    pub(super) fn deadline(&self) -> u64 {
        match &self.phase {
            Phase::Idle | Phase::Closed => NEVER,
            Phase::Token { by, .. } | Phase::Socket { by, .. } | Phase::Handshake { by } => *by,
            Phase::Waiting { until } => *until,
            Phase::Open(session) => {
                let renew = match session.renewal {
                    Renewal::Never => NEVER,
                    Renewal::At(at) | Renewal::Asked { by: at, .. } | Renewal::Sent { by: at, .. } => at,
                };
                renew.min(session.heard + session.silence).min(session.move_at.unwrap_or(NEVER))
            }
        }
    }

    /// Asks for a token when it is time, or when the last question or frame got no answer.
    fn renew(&mut self, cx: &mut Context) {
        let Phase::Open(session) = &self.phase else { return };
        let (Renewal::At(at) | Renewal::Asked { by: at, .. } | Renewal::Sent { by: at, .. }) = session.renewal else {
            return;
        };
        if cx.now < at {
            return;
        }
        let ask = self.ask(cx);
        if let Phase::Open(session) = &mut self.phase {
            session.renewal = Renewal::Asked { ask, by: cx.now + TOKEN_MS };
        }
    }

    fn ask(&mut self, cx: &mut Context) -> u32 {
        self.last_ask += 1;
        cx.effects.push_back(Effect::FetchToken { ask: self.last_ask });
        self.last_ask
    }

    /// Waits for the next attempt.
    fn wait(&mut self, cx: &mut Context, problem: Problem) {
        self.come_back(cx, problem, false);
    }

    /// Comes back at once, or waits: as the draining node said, else by the back-off.
    fn come_back(&mut self, cx: &mut Context, problem: Problem, at_once: bool) {
        let mut until = at_once.then_some(cx.now);
        if let Phase::Open(session) = &self.phase
            && !at_once
        {
            if cx.now >= session.since + STABLE_MS {
                self.attempt = 0;
                self.transport.lasted();
            }
            until = session.move_at.map(|at| at.max(cx.now));
        }
        let until = until.unwrap_or_else(|| {
            let wait = cx.options.backoff.delay(self.attempt, cx.random.unit());
            self.attempt = self.attempt.saturating_add(1);
            cx.now + wait
        });
        self.phase = Phase::Waiting { until };
        self.enter(cx, State::Waiting { until, problem });
    }

    fn enter(&mut self, cx: &mut Context, state: State) {
        self.state = state.clone();
        cx.effects.push_back(Effect::State(state));
    }
}

/// When to renew a token: after three quarters to nine tenths of what is left of it, so that a crowd that
/// came together does not come again together.
fn renewal(cx: &mut Context, expires: Option<i64>) -> Renewal {
    let Some(expires) = expires.filter(|_| cx.options.renewable) else { return Renewal::Never };
    let left = expires.saturating_sub_unsigned(cx.now).max(0) as f64;
    let wait = left * (0.75 + 0.15 * cx.random.unit());
    Renewal::At(cx.now + (wait as u64).max(RENEW_MS))
}

fn hello(cx: &Context, token: String) -> ClientFrame {
    ClientFrame::Hello(Hello { token, client: cx.options.client.clone(), features: Vec::new() })
}

fn draining() -> Problem {
    Problem::known(ErrorCode::GoingAway, "the node is draining")
}
