//! The true write-ahead logs: a tree of branches, and what a server holds of it.
//!
//! A branch is what one promoted server writes; it forks off its parent at some record. Two branches may bear the
//! same timeline number, when two servers were promoted without knowing of each other. What a server holds is a
//! [`Content`]: a branch and how far along it (and along all its ancestors up to where it left them). Whether a
//! commit is in it is decided by walking the tree, never by comparing numbers: this is the truth that the
//! positions of the code under test are held against.

use rr_core::time::Moment;

/// Size of a WAL segment of the simulated servers, small so that its first page comes often.
pub(super) const SEGMENT: u64 = 1 << 20;
const PAGE: u64 = 8192;
const HEADER: u64 = 24;
const FIRST_HEADER: u64 = 40;
/// Bytes of records that a segment holds.
const SEGMENT_BODY: u64 = SEGMENT / PAGE * (PAGE - HEADER) - (FIRST_HEADER - HEADER);

/// Names a branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct BranchId(usize);

/// A point of a branch: the end of a record there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) branch: BranchId,
    pub(super) lsn: u64,
}

#[derive(Debug)]
struct Branch {
    timeline: u32,
    /// The branch that it forked off, and where.
    parent: Option<Content>,
    /// Bytes of records written so far, headers not counted, on this branch and before it.
    body: u64,
    records: Vec<Record>,
}

#[derive(Debug)]
struct Record {
    end: u64,
    body: u64,
    commit: Option<Moment>,
}

/// All branches of all clusters.
#[derive(Debug, Default)]
pub(super) struct Wal {
    branches: Vec<Branch>,
}

impl Wal {
    /// The log of a new cluster.
    pub(super) fn create(&mut self, timeline: u32) -> BranchId {
        self.branches.push(Branch { timeline, parent: None, body: 3 * SEGMENT_BODY, records: Vec::new() });
        BranchId(self.branches.len() - 1)
    }

    /// A new branch at the end of a record.
    pub(super) fn fork(&mut self, at: Content, timeline: u32) -> BranchId {
        let body = self.body_at(at);
        self.branches.push(Branch { timeline, parent: Some(at), body, records: Vec::new() });
        BranchId(self.branches.len() - 1)
    }

    /// Writes a record of `size` bytes; where it ends.
    pub(super) fn append(&mut self, branch: BranchId, size: u64, commit: Option<Moment>) -> Content {
        let log = &mut self.branches[branch.0];
        log.body += size.max(8).next_multiple_of(8);
        let end = pointer(log.body, false);
        log.records.push(Record { end, body: log.body, commit });
        Content { branch, lsn: end }
    }

    /// The size of a record that would end exactly where the page (or the segment) does.
    pub(super) fn room(&self, branch: BranchId, whole_segment: bool) -> u64 {
        let body = self.branches[branch.0].body;
        let in_segment = body % SEGMENT_BODY;
        let first = PAGE - FIRST_HEADER;
        match in_segment.checked_sub(first) {
            _ if whole_segment => SEGMENT_BODY - in_segment,
            None => first - in_segment,
            Some(rest) => (PAGE - HEADER) - rest % (PAGE - HEADER),
        }
    }

    /// Everything that the branch holds.
    pub(super) fn tip(&self, branch: BranchId) -> Content {
        let log = &self.branches[branch.0];
        let start = log.parent.map_or_else(|| pointer(log.body, false), |fork| fork.lsn);
        Content { branch, lsn: log.records.last().map_or(start, |record| record.end) }
    }

    /// Where the next record would begin: what `pg_current_wal_insert_lsn()` says.
    pub(super) fn insert_pointer(&self, branch: BranchId) -> u64 {
        pointer(self.branches[branch.0].body, true)
    }

    pub(super) fn timeline(&self, branch: BranchId) -> u32 {
        self.branches[branch.0].timeline
    }

    /// Where the branch began.
    pub(super) fn origin(&self, branch: BranchId) -> Option<Content> {
        self.branches[branch.0].parent
    }

    /// The branches with this timeline number in the cluster of `of`.
    pub(super) fn named(&self, timeline: u32, of: BranchId) -> impl Iterator<Item = BranchId> {
        let root = self.root(of);
        let ids = (0..self.branches.len()).map(BranchId);
        ids.filter(move |id| self.timeline(*id) == timeline && self.root(*id) == root)
    }

    fn root(&self, branch: BranchId) -> BranchId {
        self.path(branch).last().map_or(branch, |point| point.branch)
    }

    /// The branch and its ancestors, each with how far it belongs to the history of the branch.
    pub(super) fn path(&self, branch: BranchId) -> impl Iterator<Item = Content> {
        self.history(Content { branch, lsn: u64::MAX })
    }

    /// The same for what a server holds.
    fn history(&self, content: Content) -> impl Iterator<Item = Content> {
        let mut limit = content.lsn;
        std::iter::successors(Some(content), move |point| {
            let fork = self.branches[point.branch.0].parent?;
            limit = limit.min(fork.lsn);
            Some(Content { branch: fork.branch, lsn: limit })
        })
    }

    /// Whether `content` includes everything that `point` does.
    pub(super) fn includes(&self, content: Content, point: Content) -> bool {
        // A point on a branch that stands at (or before) its origin is one on the parent.
        let point = self.history(point).find(|p| self.origin(p.branch).is_none_or(|o| p.lsn > o.lsn));
        point.is_none_or(|point| {
            self.history(content).any(|have| have.branch == point.branch && have.lsn >= point.lsn)
        })
    }

    /// Up to where `content` and the history of `branch` are the same; `None` for another cluster.
    pub(super) fn common(&self, content: Content, branch: BranchId) -> Option<u64> {
        self.history(content).find_map(|have| {
            let there = self.path(branch).find(|point| point.branch == have.branch)?;
            Some(have.lsn.min(there.lsn))
        })
    }

    /// The last commit in the history of `branch` that was made by `at`.
    pub(super) fn last_commit(&self, branch: BranchId, at: Moment) -> Option<Content> {
        self.path(branch).find_map(|part| {
            let made =
                |record: &&Record| record.end <= part.lsn && record.commit.is_some_and(|commit| commit <= at);
            let record = self.branches[part.branch.0].records.iter().rev().find(made)?;
            Some(Content { branch: part.branch, lsn: record.end })
        })
    }

    /// The last commit written on the branch itself that ends by `lsn`.
    pub(super) fn last_commit_by(&self, branch: BranchId, lsn: u64) -> Option<Content> {
        let records = &self.branches[branch.0].records;
        let upto = records.partition_point(|record| record.end <= lsn);
        let record = records[..upto].iter().rev().find(|record| record.commit.is_some())?;
        Some(Content { branch, lsn: record.end })
    }

    /// The record after `content` in the history of `target`, and whether it is a commit.
    pub(super) fn next(&self, content: Content, target: BranchId) -> Option<(Content, bool)> {
        // The oldest part of the history that goes on after this point is where the next record is.
        let part = self.path(target).take_while(|part| part.lsn > content.lsn).last()?;
        let records = &self.branches[part.branch.0].records;
        let at = records.partition_point(|record| record.end <= content.lsn);
        let record = records.get(at).filter(|record| record.end <= part.lsn)?;
        Some((Content { branch: part.branch, lsn: record.end }, record.commit.is_some()))
    }

    /// A point some records before the end of what `content` holds.
    pub(super) fn back(&self, content: Content, records: usize) -> Content {
        let mut point = content;
        for _ in 0..records {
            let before = self.history(point).find_map(|part| {
                let log = &self.branches[part.branch.0].records;
                // Of an older branch the record that ends where it was left is included.
                let index = log.partition_point(|record| record.end < point.lsn && record.end <= part.lsn);
                let index = index.checked_sub(1)?;
                Some(Content { branch: part.branch, lsn: log[index].end })
            });
            let Some(before) = before else { return point };
            point = before;
        }
        point
    }

    fn body_at(&self, at: Content) -> u64 {
        let log = &self.branches[at.branch.0];
        let index = log.records.partition_point(|record| record.end <= at.lsn);
        match index.checked_sub(1) {
            Some(last) => log.records[last].body,
            None => log.parent.map_or(3 * SEGMENT_BODY, |fork| self.body_at(fork)),
        }
    }
}

/// The byte offset after `body` bytes of records: of the next record's beginning, or of the last record's end. They
/// differ where a page ends, by the length of the next page's header.
fn pointer(body: u64, beginning: bool) -> u64 {
    let (segment, rest) = (body / SEGMENT_BODY, body % SEGMENT_BODY);
    let (page, in_page, header) = match rest.checked_sub(PAGE - FIRST_HEADER) {
        None => (0, rest, FIRST_HEADER),
        Some(rest) => (1 + rest / (PAGE - HEADER), rest % (PAGE - HEADER), HEADER),
    };
    let start = segment * SEGMENT + page * PAGE;
    if in_page == 0 && !beginning { start } else { start + header + in_page }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Option<Moment> {
        Some(Moment::from_millis(millis))
    }

    #[test]
    fn a_record_that_fills_its_page_ends_before_the_header_of_the_next() {
        let mut wal = Wal::default();
        let branch = wal.create(1);
        assert_eq!(wal.insert_pointer(branch) % SEGMENT, FIRST_HEADER);
        for (whole_segment, header) in [(false, HEADER), (false, HEADER), (true, FIRST_HEADER)] {
            let end = wal.append(branch, wal.room(branch, whole_segment), None);
            assert_eq!(end.lsn % PAGE, 0);
            assert_eq!(wal.insert_pointer(branch), end.lsn + header);
        }
        let end = wal.append(branch, 48, None);
        assert_eq!(wal.insert_pointer(branch), end.lsn);
    }

    #[test]
    fn a_fork_shares_the_past_and_nothing_later() {
        let mut wal = Wal::default();
        let one = wal.create(1);
        let kept = wal.append(one, 100, at(1));
        let lost = wal.append(one, 100, at(2));
        let two = wal.fork(kept, 2);
        let own = wal.append(two, 100, at(3));
        let tip = wal.tip(two);
        assert_eq!(own.lsn, lost.lsn, "the same numbers on both branches");
        assert!(wal.includes(tip, kept) && wal.includes(tip, own) && !wal.includes(tip, lost));
        assert_eq!(wal.common(lost, two), Some(kept.lsn));
        assert_eq!(wal.last_commit(two, Moment::from_millis(2)), Some(kept));
        assert_eq!(wal.next(kept, two), Some((own, true)));
        assert_eq!(wal.next(kept, one), Some((lost, true)));
        assert_eq!((wal.next(own, two), wal.back(own, 1)), (None, kept));
    }
}
