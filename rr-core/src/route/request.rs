//! What is asked of a router.

use super::Access;
use crate::config::ReadPreference;
use crate::consistency::Consistency;
use crate::requirement::Requirement;
use crate::session::Session;
use crate::topology::NodeId;

/// A request for a node.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Request<'a> {
    /// What kind of statement it is for.
    pub access: Access,
    /// What the node must fulfil.
    pub requirement: Requirement,
    /// The consistency level that the requirement was made from, for spans and logs; it decides nothing.
    pub level: Option<Consistency>,
    /// Primary or replica; `None` for what the configuration says.
    pub preference: Option<ReadPreference>,
    /// The group of nodes to ask.
    pub group: Option<&'a str>,
    /// Nodes that this statement was tried on already.
    pub tried: &'a [NodeId],
    /// The session that it works for: to stay on its node, and to tell it of a write that is lost.
    pub session: Option<Session>,
}

impl<'a> Request<'a> {
    /// A read with this requirement.
    #[must_use]
    pub const fn read(requirement: Requirement) -> Self {
        Self::of(Access::Read, requirement)
    }

    /// A write.
    #[must_use]
    pub const fn write() -> Self {
        Self::of(Access::Write, Requirement::PRIMARY)
    }

    /// A statement that needs the state of a connection to the primary.
    #[must_use]
    pub const fn session() -> Self {
        Self::of(Access::Session, Requirement::PRIMARY)
    }

    const fn of(access: Access, requirement: Requirement) -> Self {
        Self { access, requirement, level: None, preference: None, group: None, tried: &[], session: None }
    }

    /// This request, on behalf of a session.
    #[must_use]
    pub fn of_session(mut self, session: &Session) -> Self {
        self.session = Some(session.clone());
        self
    }

    /// This request, saying which level its requirement was made from.
    #[must_use]
    pub const fn at_level(mut self, level: Consistency) -> Self {
        self.level = Some(level);
        self
    }

    /// This request, with a preference of its own.
    #[must_use]
    pub const fn prefer(mut self, preference: ReadPreference) -> Self {
        self.preference = Some(preference);
        self
    }

    /// This request, asking the nodes of a group.
    #[must_use]
    pub const fn in_group(mut self, group: &'a str) -> Self {
        self.group = Some(group);
        self
    }

    /// This request, avoiding nodes that were tried already.
    #[must_use]
    pub const fn avoiding(mut self, tried: &'a [NodeId]) -> Self {
        self.tried = tried;
        self
    }
}
