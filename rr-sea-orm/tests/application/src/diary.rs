//! What the application saw, in order.

use std::fmt::Debug;

/// One part of the story.
#[derive(Debug)]
pub struct Diary {
    chapter: &'static str,
    lines: Vec<String>,
}

impl Diary {
    pub fn chapter(chapter: &'static str) -> Self {
        Self { chapter, lines: Vec::new() }
    }

    pub fn note(&mut self, what: &str, seen: impl Debug) {
        self.lines.push(format!("{}, {what}: {seen:?}", self.chapter));
    }

    pub fn lines(self) -> Vec<String> {
        self.lines
    }
}
