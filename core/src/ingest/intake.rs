//! The task that stores what all connections receive. While it waits for the disk, further batches arrive; the next
//! write stores all of them.

use super::{Answer, Journal, Submitter, batch::transactions};
use crate::{
    env::{CrashPoint, Env},
    store::StoreError,
};
use bytes::Bytes;
use std::{convert::Infallible, sync::Arc};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

/// Frames in the channel.
const CAPACITY: usize = 1_024;

/// Frames per write, and their bytes, approximately.
const FRAMES_PER_WRITE: usize = 256;
const BYTES_PER_WRITE: usize = 1 << 20;

/// Where connections put what they receive. Clones lead to the same task.
#[derive(Clone)]
pub struct Intake(mpsc::Sender<Submission>);

/// Where [`Intake::submit`] leads.
pub struct Submissions(mpsc::Receiver<Submission>);

struct Submission {
    frame: Bytes,
    submitter: Submitter,
    answer: oneshot::Sender<Answer>,
    /// The memory of the frame, until it is stored.
    _memory: Option<OwnedSemaphorePermit>,
}

/// Both ends of the channel of batches.
#[must_use]
pub fn intake() -> (Intake, Submissions) {
    let (sender, receiver) = mpsc::channel(CAPACITY);
    (Intake(sender), Submissions(receiver))
}

impl Intake {
    /// Puts the body of a frame into the queue. The receiver gets the answer when what is taken of the batch is synced, and
    /// an error if the node ends before.
    pub async fn submit(
        &self,
        frame: Bytes,
        submitter: Submitter,
        memory: Option<OwnedSemaphorePermit>,
    ) -> oneshot::Receiver<Answer> {
        let (answer, answered) = oneshot::channel();
        let submission = Submission {
            frame,
            submitter,
            answer,
            _memory: memory,
        };
        // If the task has ended, `answered` is an error, too.
        let _ = self.0.send(submission).await;
        answered
    }
}

impl Submissions {
    /// Stores what is submitted, for ever.
    ///
    /// # Errors
    /// If the disk fails.
    pub async fn store(
        mut self,
        env: Env,
        journal: Arc<Journal>,
    ) -> Result<Infallible, StoreError> {
        loop {
            let Some(first) = self.0.recv().await else {
                return std::future::pending().await; // nobody is left who could submit
            };
            let mut bytes = first.frame.len();
            let mut group = vec![first];
            while group.len() < FRAMES_PER_WRITE
                && bytes < BYTES_PER_WRITE
                && let Ok(next) = self.0.try_recv()
            {
                bytes += next.frame.len();
                group.push(next);
            }
            env.reach(CrashPoint::NodeBeforeJournal).await;
            // Decoded one after the other: a batch takes many times the memory of its frame.
            let frames = group.iter_mut();
            let batches =
                frames.map(|it| (transactions(std::mem::take(&mut it.frame)), it.submitter));
            let answers = journal.take(batches)?;
            env.reach(CrashPoint::NodeAfterJournal).await;
            for (submission, answer) in group.into_iter().zip(answers) {
                let _ = submission.answer.send(answer); // an error means that the connection has ended
            }
        }
    }
}
