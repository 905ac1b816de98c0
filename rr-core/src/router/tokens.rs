//! Sessions that leave this process and come back.

use std::time::Duration;

use super::Router;
use super::waiting::Waiting;
use crate::config::LostWrites;
use crate::connector::Connector;
use crate::monitor::Command;
use crate::position::Position;
use crate::session::{Session, Written};
use crate::tally::{Loss, Step};
use crate::time::{Moment, Wall};
use crate::token::{Claims, LostWrite, Token, TokenError};
use crate::topology::{HealthState, NodeId, Topology, is_anywhere};

/// A token is evidence of a failover for so long.
const RECENT: Duration = Duration::from_secs(300);

/// A session as a token, and whether it says exactly what the session wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Export {
    /// The token.
    pub token: Token,
    /// Whether everything that was written and seen has its position in it. If not, whoever resumes it asks the primary
    /// where its log ends, and reads until then from the primary: nothing is lost, and it costs one more question.
    pub exact: bool,
}

/// Whether a position is one that the primary has reached.
enum Standing {
    Reached,
    /// Not as far as is known; whether it will be is for newer samples to say.
    Ahead,
    /// It cannot be: the samples are newer than the token.
    Impossible,
}

impl<C: Connector> Router<C> {
    /// The session as a token, from what is known at this moment. A write that is not placed yet is marked as such (see
    /// [`Export::exact`]); [`Router::export`] places it first.
    ///
    /// # Errors
    /// When there is no key, or no node has said yet which cluster this is.
    pub fn token(&self, session: &Session) -> Result<Token, TokenError> {
        self.token_at(session, Wall::now())
    }

    /// As [`Router::token`], issued at this time.
    ///
    /// # Errors
    /// As [`Router::token`].
    pub fn token_at(&self, session: &Session, now: Wall) -> Result<Token, TokenError> {
        self.gather_lent(session);
        self.sign(session, now)
    }

    /// The session as a token, with what is known to have been written for it.
    fn sign(&self, session: &Session, now: Wall) -> Result<Token, TokenError> {
        let shared = &self.inner.shared;
        let snapshot = shared.snapshot.load();
        let topology = &*snapshot.topology;
        session.catch_up(topology);
        // Whether something is unplaced is looked at before the positions: what is placed in between is in them.
        let (answered, unplaced) = (session.has_unplaced_answer(), session.unplaced_since());
        let follows = session.follows();
        let cluster = topology.system().ok_or(TokenError::ClusterUnknown)?;
        let mut claims = Claims::new(cluster, now, shared.config.session.token_lifetime);
        let history = topology.primary().ok().and_then(|primary| primary.applied.as_ref());
        let short = |position: Position| match (&position, history) {
            (Position::Postgres(own), Some(Position::Postgres(history))) => {
                own.without_implied(history).into()
            }
            _ => position,
        };
        claims.unplaced = unplaced.is_some();
        claims.answered = claims.unplaced && answered;
        if claims.unplaced {
            shared.circle.wanted().note();
        }
        claims.primary = session.demands_primary();
        let (mut wrote, mut saw) = (session.last_write(), session.last_read());
        // Whoever resumes it after a failover knows by the timeline that the write was before.
        if claims.answered
            && let Some(reached) = topology.reached()
        {
            wrote =
                Some(wrote.map_or_else(|| reached.clone(), |wrote| wrote.join(&reached).unwrap_or(wrote)));
        }
        if let Some(seen) = follows {
            // It is for the token alone: here the node that served the read may serve the next one as well.
            let joined = seen
                .bound(topology)
                .map(|bound| saw.as_ref().map_or_else(|| Ok(bound.clone()), |saw| saw.join(bound)));
            match joined {
                Some(Ok(joined)) => saw = Some(joined),
                Some(Err(_)) | None => claims.unplaced_read = true,
            }
        }
        claims.saw = saw.filter(|saw| wrote.as_ref().is_none_or(|wrote| !wrote.covers(saw))).map(short);
        claims.wrote = wrote.map(short);
        let token = self.inner.keys.sign(&claims)?;
        shared.tally.issued();
        Ok(token)
    }

    /// The session as a token. Where a write has no position yet, the primary is asked once where its log ends, by all who
    /// want to know it together; after `patience` the token is issued without (see [`Export::exact`]).
    ///
    /// # Errors
    /// As [`Router::token`].
    pub async fn export(&self, session: &Session, patience: Duration) -> Result<Export, TokenError> {
        self.gather_lent(session);
        let placed = |topology: &Topology| {
            session.catch_up(topology);
            is_placed(session, topology).then_some(())
        };
        let began = tokio::time::Instant::now();
        if session.placing().since().is_some() {
            let placed = self.inner.shared.circle.all_placed(Some(session));
            drop(tokio::time::timeout(patience, placed).await);
        }
        if !is_placed(session, &self.topology()) {
            self.inner.shared.circle.wanted().note();
            let patience = patience.saturating_sub(began.elapsed());
            // What was written is in a sample of the primary; what was read, in one of whoever served it.
            let server = session.follows().and_then(|seen| seen.node);
            let server = server.filter(|_| session.unplaced_since().is_none());
            self.look(patience, server, placed).await;
        }
        let token = self.sign(session, Wall::now())?;
        Ok(Export { token, exact: is_placed(session, &self.topology()) })
    }

    /// The session that a token stands for.
    ///
    /// A token that is refused costs no wait. One that names a position beyond what is known of the primary is either newer
    /// than our last look at it or impossible: then the primary is asked once, for at most `causal_wait`.
    ///
    /// # Errors
    /// Why the token is refused.
    pub async fn resume(&self, token: &str) -> Result<Session, TokenError> {
        self.resume_at(token, Wall::now()).await
    }

    /// As [`Router::resume`], at this time.
    ///
    /// # Errors
    /// As [`Router::resume`].
    pub async fn resume_at(&self, token: &str, now: Wall) -> Result<Session, TokenError> {
        let opened = match self.read_token(token, now).await {
            Ok((_, Some(lost))) if self.inner.shared.config.lost_writes == LostWrites::Error => {
                Err(lost.into())
            }
            Ok((session, _)) => Ok(session),
            Err(refused) => Err(refused),
        };
        self.inner.shared.tally.brought(&opened);
        opened
    }

    /// As [`Router::resume`], with what was kept of a session whose write is lost.
    #[cfg(feature = "axum")]
    pub(crate) async fn open_token(&self, token: &str) -> Result<(Session, Option<LostWrite>), TokenError> {
        let opened = self.read_token(token, Wall::now()).await;
        self.inner.shared.tally.brought(&opened);
        opened
    }

    /// What became of tokens so far: how many were issued, resumed, and refused for each reason.
    pub fn token_outcomes(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.inner.shared.tally.tokens()
    }

    async fn read_token(&self, token: &str, now: Wall) -> Result<(Session, Option<LostWrite>), TokenError> {
        let shared = &self.inner.shared;
        let topology = self.topology();
        let claims = self.inner.keys.open(token, topology.system(), now)?;
        let asked_at = self.now();
        for position in claims.wrote.iter().chain(&claims.saw) {
            let ahead = matches!(standing(&topology, position, asked_at), Standing::Ahead);
            let look = |topology: &Topology| match standing(topology, position, asked_at) {
                Standing::Ahead => None,
                Standing::Reached => Some(Ok(())),
                Standing::Impossible => Some(Err(TokenError::Future)),
            };
            if ahead && let Some(Err(refused)) = self.look(shared.config.causal_wait, None, look).await {
                self.learn_of(&claims, now);
                return Err(refused);
            }
        }
        self.learn_of(&claims, now);
        let session = Session::new();
        if let Some(position) = &claims.wrote {
            session.wrote(position);
        }
        if let Some(position) = &claims.saw {
            session.saw(position);
        }
        // It was issued before now: a sample of the primary that is taken from now on has it, unless that is another
        // primary than the one that has answered the write.
        if claims.answered {
            let on = claims.wrote.as_ref().and_then(Position::timeline);
            session.note(None, Written { by: asked_at, on });
            session.remember(&self.topology());
        } else if claims.unplaced {
            session.wrote_unplaced(asked_at);
        }
        if claims.unplaced_read {
            session.read_somewhere(asked_at);
        }
        if claims.primary {
            session.demand_primary();
        }
        let lost = self.strike_losses(&session);
        Ok((session, lost))
    }

    /// A token of a timeline that is newer than the primary's tells of a failover that was not seen here. Only one that was
    /// issued a moment ago does: an old one may be from before the database was restored to an older state.
    fn learn_of(&self, claims: &Claims, now: Wall) {
        let wrote = claims.wrote.as_ref().and_then(Position::timeline);
        let saw = claims.saw.as_ref().and_then(Position::timeline);
        let Some(timeline) = wrote.max(saw) else { return };
        let written = wrote == Some(timeline);
        // Everybody was asked before: a promotion that can be seen from here has been seen.
        let topology = self.topology();
        let known = topology.primary().ok().and_then(|primary| primary.applied.as_ref()?.timeline());
        if known.is_none_or(|known| timeline > known) && now.since(claims.issued_at) <= RECENT {
            // When nobody takes it the monitor is busy, and the next token will tell.
            drop(self.inner.commands.try_send(Command::Heard { timeline, written }));
        }
    }

    /// Leaves of a session what a failover has kept, and says which write it has not.
    fn strike_losses(&self, session: &Session) -> Option<LostWrite> {
        let snapshot = self.inner.shared.snapshot.load();
        let lost = session.give_up_lost(&snapshot.topology)?;
        self.inner.shared.tally.count(Step::LostWrite);
        self.inner.shared.tally.count_loss(Loss::Session);
        if let Some(left_out) = self.inner.shared.throttles.lost.pass(self.now()) {
            tracing::warn!(target: "rr", left_out, "{lost}");
        }
        Some(lost)
    }

    /// Has a node (or else the primary, and everybody once) asked, until the topology has an answer or `patience` is over.
    pub(super) async fn look<T>(
        &self,
        patience: Duration,
        node: Option<NodeId>,
        answer: impl Fn(&Topology) -> Option<T>,
    ) -> Option<T> {
        let shared = &self.inner.shared;
        let mut published = shared.published.subscribe();
        let waiting = {
            let snapshot = shared.snapshot.load();
            if let Some(answer) = answer(&snapshot.topology) {
                return Some(answer);
            }
            let of = |id| snapshot.topology.nodes().iter().position(|node| node.id == id);
            let asked = node.and_then(of);
            if asked.is_none() {
                snapshot.members.iter().for_each(|member| member.common.poke.notify_one());
            }
            asked
                .or_else(|| snapshot.topology.primary_index().ok())
                .map(|index| Waiting::on(&snapshot, index))
        };
        let deadline = tokio::time::Instant::now() + patience;
        let found = loop {
            let news = tokio::time::timeout_at(deadline, published.changed()).await;
            let found = answer(&shared.snapshot.load().topology);
            if found.is_some() || !news.is_ok_and(|alive| alive.is_ok()) {
                break found;
            }
        };
        drop(waiting);
        found
    }
}

/// Whether everything that the session wrote and saw has a position.
fn is_placed(session: &Session, topology: &Topology) -> bool {
    let saw_nothing_unknown = session.follows().is_none_or(|seen| seen.bound(topology).is_some());
    session.unplaced_since().is_none() && saw_nothing_unknown
}

/// Whether the primary has reached what somebody claims to have written or seen before `asked_at`.
fn standing(topology: &Topology, position: &Position, asked_at: Moment) -> Standing {
    let Ok(primary) = topology.primary() else { return Standing::Ahead };
    let (Position::Postgres(claimed), Some(Position::Postgres(history))) = (position, &primary.applied)
    else {
        return Standing::Reached;
    };
    let ((timeline, lsn), (now, reached)) = (claimed.head(), history.head());
    if timeline < now || (timeline == now && lsn <= reached) {
        return Standing::Reached;
    }
    let covered = |node: &crate::topology::Node| node.applied.as_ref().is_some_and(|at| at.covers(position));
    if topology.nodes().iter().any(covered) {
        return Standing::Reached;
    }
    let sampled = |node: &crate::topology::Node| node.sampled_at.is_some_and(|at| at >= asked_at);
    let silent = |node: &crate::topology::Node| {
        node.failures > 0 || matches!(node.health, HealthState::Unhealthy | HealthState::Unknown)
    };
    // A newer timeline may be that of a promotion which we have not seen yet: everybody has to be asked.
    let all_asked = topology.nodes().iter().all(|node| sampled(node) || (timeline == now && silent(node)));
    let enough = if timeline == now && !is_anywhere(position) { sampled(primary) } else { all_asked };
    match enough {
        false => Standing::Ahead,
        // Whoever issued it knows of a failover that cannot be seen from here. No node has it, and so nothing is read before
        // that changes but from the primary.
        true if is_anywhere(position) => Standing::Reached,
        true => Standing::Impossible,
    }
}
