//! Bytes to a runner and from it.

use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use super::{News, Runner};
use crate::frame::BadFrame;

impl Runner {
    /// Writes what there is to write, as far as the socket takes it.
    pub(crate) fn flush(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        while !self.unsent.is_empty() {
            if self.stream.poll_write_ready(context)?.is_pending() {
                return Ok(());
            }
            let mut slices = Vec::with_capacity(self.unsent.len().min(64));
            for (place, unsent) in self.unsent.iter().take(64).enumerate() {
                slices.push(IoSlice::new(&unsent.bytes[if place == 0 { self.written } else { 0 }..]));
            }
            match self.stream.try_write_vectored(&slices) {
                Ok(count) => self.advance(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn advance(&mut self, mut count: usize) {
        while let Some(first) = self.unsent.front() {
            let left = first.bytes.len() - self.written;
            if count < left {
                self.written += count;
                return;
            }
            count -= left;
            self.written = 0;
            self.unsent.pop_front();
        }
    }

    /// Reads once and appends what was said; pending when there is nothing to read now.
    pub(crate) fn read(
        &mut self,
        context: &mut Context<'_>,
        scratch: &mut [u8],
        news: &mut Vec<News>,
    ) -> Poll<Result<(), BadFrame>> {
        loop {
            if self.closed.is_some() {
                return Poll::Pending;
            }
            if ready!(self.stream.poll_read_ready(context)).is_err() {
                self.closed = Some(Instant::now());
                return Poll::Pending;
            }
            match self.stream.try_read(scratch) {
                Ok(count) if count > 0 => {
                    self.parser.feed(&scratch[..count]);
                    return Poll::Ready(self.hear(news));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(_) | Err(_) => self.closed = Some(Instant::now()),
            }
        }
    }

    /// Reads everything that lies in the socket at this moment. Not through the event loop, which may not have been
    /// told of it yet: a recall is settled by what has been written, not by what has been noticed.
    pub(crate) fn drain(&mut self, scratch: &mut [u8], news: &mut Vec<News>) -> Result<(), BadFrame> {
        while self.closed.is_none() {
            match rustix::net::recv(&self.stream, &mut *scratch, rustix::net::RecvFlags::DONTWAIT) {
                Ok((count, _)) if count > 0 => {
                    self.parser.feed(&scratch[..count]);
                    self.hear(news)?;
                }
                Err(rustix::io::Errno::AGAIN) => break,
                Err(rustix::io::Errno::INTR) => {}
                Ok(_) | Err(_) => self.closed = Some(Instant::now()),
            }
        }
        Ok(())
    }
}
