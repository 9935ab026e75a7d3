//! The forwards of one run: all are asked for before the first answer, and the run ends where one must be up and is not.

use adit_tunnel::client::settings::OnForwardFailure;
use adit_tunnel::client::{ForwardError, silence};
use adit_tunnel::config::spec::Forward;
use adit_tunnel::config::values::LogLevel;
use adit_tunnel::net::Ended;
use adit_tunnel::tunnel::{News, NewsReader, Requested, Started, Tunnel};
use log::{error, warn};

use super::announce::announce;
use super::options::Meaning;
use super::with_hint;
use crate::{background, logger};

/// Said instead of going to the background without a forward.
const NOTHING_TO_STAY_FOR: &str = "no forward is up: not going to the background for nothing";

/// Outcome of the forwards so far.
pub(super) struct Forwards<'a> {
    meaning: &'a Meaning,
    host: &'a str,
    failures: Vec<String>,
    are_up: usize,
}

impl<'a> Forwards<'a> {
    pub(super) fn new(meaning: &'a Meaning, host: &'a str) -> Self {
        Self {
            meaning,
            host,
            failures: Vec::new(),
            are_up: 0,
        }
    }

    /// Starts them, and waits for what the server says; gives the end of the connection, should it come first.
    ///
    /// In the background, nobody is kept waiting for a server that does not answer, unless every forward must be up.
    ///
    /// # Errors
    /// The run ends for want of one, or, in the background, of all: nobody would see that nothing is there.
    pub(super) async fn start(
        &mut self,
        tunnel: &Tunnel,
        news: &mut NewsReader,
    ) -> Result<Option<Ended>, String> {
        let mut awaited = 0;
        for forward in &self.meaning.forwards {
            match tunnel.request(forward).await {
                Ok(Requested::Asked(_)) => awaited += 1,
                Ok(Requested::Up(started)) => self.note(forward, Ok(started))?,
                Err(error) => self.note(forward, Err(error))?,
            }
        }
        while awaited > 0 {
            match news.next().await {
                News::Forward(forward, outcome) => {
                    awaited -= 1;
                    self.note(&forward, outcome)?;
                }
                News::Silence(labels) => {
                    warn!("{}", silence(&labels));
                    if background::is_background() && !self.each_is_needed() {
                        return Ok(None);
                    }
                }
                // A tunnel over one connection ends with it.
                News::Lost(ended) | News::Ended(ended) => return Ok(Some(ended)),
            }
        }
        if self.is_in_vain() && !self.failures.is_empty() {
            self.insist();
            return Err(NOTHING_TO_STAY_FOR.into());
        }
        Ok(None)
    }

    /// Waits until the tunnel ends.
    ///
    /// # Errors
    /// A forward that must be up was refused at last.
    pub(super) async fn serve(&mut self, news: &mut NewsReader) -> Result<Ended, String> {
        loop {
            match news.next().await {
                News::Forward(forward, outcome) => self.note(&forward, outcome)?,
                News::Silence(labels) => warn!("{}", silence(&labels)),
                News::Lost(ended) | News::Ended(ended) => return Ok(ended),
            }
        }
    }

    fn each_is_needed(&self) -> bool {
        self.meaning.target.on_forward_failure == OnForwardFailure::End
    }

    fn is_in_vain(&self) -> bool {
        background::is_background() && self.are_up == 0
    }

    fn note(
        &mut self,
        forward: &Forward,
        outcome: Result<Started, ForwardError>,
    ) -> Result<(), String> {
        match outcome {
            Ok(started) => {
                announce(forward, &started, self.meaning, self.host);
                self.are_up += 1;
            }
            Err(error) if self.each_is_needed() => {
                let message = forward_message(&error, "Error");
                self.failures.push(message.clone());
                if self.is_in_vain() {
                    self.insist();
                }
                return Err(message);
            }
            Err(error) => {
                let message = forward_message(&error, "Warning");
                error!("{message}");
                self.failures.push(message);
            }
        }
        Ok(())
    }

    /// Even a quiet program says why nothing is there.
    fn insist(&self) {
        if self.meaning.level == LogLevel::Quiet {
            self.failures.iter().for_each(|text| logger::insist(text));
        }
    }
}

fn forward_message(error: &ForwardError, severity: &str) -> String {
    let mut message = match error {
        ForwardError::Refused { .. } | ForwardError::NotTrusted => format!("{severity}: {error}"),
        error => error.to_string(),
    };
    if severity == "Error" && matches!(error, ForwardError::Bind { .. }) {
        message.push_str("\nCould not request local forwarding.");
    }
    with_hint(message, error.hint())
}
