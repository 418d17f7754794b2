//! Making a backup: the source is read once, and stored in every repository that takes part.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};

use super::target::Target;
use crate::announce::{interrupted_packs, keep_announcing};
use crate::base::must_read;
use crate::commit::{Sealed, seal};
use crate::connector::{Checkpoint, Connector, Dump, DumpRequest, Outline, Previous};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::id::Id;
use crate::party::Party;
use crate::pipeline::{Each, Intake, Offer};
use crate::repository::index::StoredStream;
use crate::run::RunContext;
use crate::stream::{StreamId, StreamInfo};
use crate::time::Timestamp;

use super::BackupOptions;

/// What a run makes its backup from.
pub(super) struct Making<'a> {
    pub party: &'a Arc<Party>,
    pub targets: &'a Each<Target>,
    pub run_id: Id,
    pub started: Timestamp,
    pub options: &'a BackupOptions,
}

impl Making<'_> {
    fn targets(&self) -> impl Iterator<Item = (usize, &Target)> {
        let live = self.party.live();
        self.targets.iter().map(|(member, target)| (*member, target)).filter(move |(member, _)| live.has(*member))
    }

    /// Reads the source and stores what is not there. With `unread`, streams that the connector
    /// can prove unchanged are taken over.
    pub(super) async fn make(
        &self,
        connector: &dyn Connector,
        unread: bool,
        run: &RunContext,
    ) -> Result<(Outline, Each<Sealed>)> {
        let offers = self.targets().map(|(member, target)| (member, self.offer(target, run)));
        let offers = self.party.together(offers).await?;
        let offers = offers.into_iter().map(|(n, offer)| (n, (self.targets[&n].job.clone(), offer))).collect();
        let level = self.options.compression;
        let (intake, _abort) = Intake::begin_for(self.party, self.run_id, level, offers, run).await?;
        let previous = if unread { self.previous(&intake).await? } else { None };
        let exclude = self.options.exclude.clone();
        let request = DumpRequest { previous, exclude, parallel: run.limits.parallel };
        let dump = connector.begin_dump(&request, run).await?;
        let outline = dump.outline().clone();
        check_outline(&outline, request.previous.as_ref())?;
        let work = async {
            let (streams, checkpoint) = read_streams(&intake, dump, &outline, run).await?;
            Ok::<_, Error>((streams, checkpoint, intake.finish_each().await?))
        };
        let (mut streams, checkpoint, stored) = tokio::select! {
            biased;
            done = work => done?,
            never = self.keep_announcing(run) => match never {},
        };
        let (chunks, new) = intake.counted();
        run.emit(&Event::Chunked { chunks, new });
        let mut sealed = Each::new();
        for (member, stored) in stored {
            let here = streams.iter_mut().filter_map(|(id, each)| Some((*id, each.remove(&member)?))).collect();
            sealed.insert(member, seal(&outline, &checkpoint, here, stored)?);
        }
        Ok((outline, sealed))
    }

    /// What need not be stored in one of them.
    async fn offer(&self, target: &Target, run: &RunContext) -> Result<Offer> {
        let (job, state, base) = (&target.job, &target.state, target.base.as_ref());
        let whole = state.faults.is_empty();
        Ok(Offer {
            parent: base.map(|b| b.root.clone()),
            adoptable: if whole { interrupted_packs(job, self.run_id, run).await } else { Vec::new() },
            avoid: state.doomed.keys().chain(&state.swept).copied().collect(),
            damage: base.map(|b| b.damage.clone()).unwrap_or_default(),
        })
    }

    /// What the connector is told of the parent: the streams that everyone could take over unread.
    /// That asks for the same parent everywhere, for the proof is relative to it.
    async fn previous(&self, intake: &Intake) -> Result<Option<Previous>> {
        let usable = intake.usable_streams().await?;
        let bases: Option<Vec<_>> = self.targets().map(|(_, target)| target.parent_base()).collect();
        let Some([first, others @ ..]) = bases.as_deref() else { return Ok(None) };
        let same = |name: &str, end| others.iter().all(|b| b.root.stream(name).is_some_and(|s| s.end == end));
        Ok(Some(first.previous(|stream| usable.contains(&stream.info.name) && same(&stream.info.name, stream.end))))
    }

    /// Renews the announcements of those that take part.
    async fn keep_announcing(&self, run: &RunContext) -> std::convert::Infallible {
        let each = self.targets().map(|(member, target)| async move {
            let keep = keep_announcing(&target.job, self.run_id, self.started, run);
            match self.party.while_live(member, keep).await {
                Some(never) => match never {},
                None => std::future::pending::<()>().await,
            }
        });
        futures::future::join_all(each).await;
        std::future::pending().await
    }
}

fn check_outline(outline: &Outline, previous: Option<&Previous>) -> Result<()> {
    let mut names = BTreeSet::new();
    for stream in &outline.streams {
        if !names.insert(&stream.name) {
            return Err(Error::internal("the connector named a stream twice").with("stream", &stream.name));
        }
        if stream.unchanged && previous.is_none_or(|p| !p.streams.contains_key(&stream.name)) {
            return Err(Error::internal("the connector calls a new stream unchanged").with("stream", &stream.name));
        }
    }
    Ok(())
}

/// Reads every stream, several at a time, then ends the dump.
async fn read_streams(
    intake: &Arc<Intake>,
    dump: Box<dyn Dump>,
    outline: &Outline,
    run: &RunContext,
) -> Result<(BTreeMap<StreamId, Each<StoredStream>>, Checkpoint)> {
    let bytes = outline.streams.iter().filter_map(|s| s.size_hint).sum();
    run.emit(&Event::Estimated { bytes });
    let streams: Vec<(StreamId, StreamInfo)> = (0..).map(StreamId).zip(outline.streams.iter().cloned()).collect();
    let read = futures::stream::iter(streams)
        .map(|(id, info)| {
            let dump = &dump;
            async move {
                if info.unchanged {
                    let taken = intake.take_over(&info).await.map_err(|e| must_read(e, &info.name))?;
                    return Ok::<_, Error>((id, taken));
                }
                run.emit(&Event::StreamStarted { name: info.name.clone() });
                let stored = intake.store(dump.open(id).await?).await.map_err(|e| e.with("stream", &info.name))?;
                let bytes = stored.values().next().map_or(0, |s| s.end.length);
                run.emit(&Event::StreamFinished { name: info.name, bytes });
                Ok((id, stored))
            }
        })
        .buffer_unordered(run.limits.parallel.max(1))
        .try_collect::<BTreeMap<_, _>>()
        .await;
    match read {
        Ok(read) => Ok((read, dump.finish().await?)),
        Err(e) => {
            dump.abort().await;
            Err(e)
        }
    }
}
