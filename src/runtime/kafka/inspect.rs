//! What the brokers say of themselves, of topics and of the group: for whoever looks for what is wrong.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, OwnedResourceSpecifier, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;

use crate::config::Config;
use crate::runtime::error::{RunError, Stage};
use crate::runtime::kafka::client;

/// How records are removed.
pub(crate) const POLICY: &str = "cleanup.policy";
/// Whose clock a record's stamp is.
pub(crate) const STAMP_TYPE: &str = "message.timestamp.type";
/// How far ahead of the broker's a producer's clock may be, ms.
pub(crate) const STAMP_AHEAD: &str = "message.timestamp.after.max.ms";

/// The settings of a topic that are looked at.
const SETTINGS: [&str; 6] =
    [POLICY, "retention.ms", "min.insync.replicas", "max.message.bytes", STAMP_TYPE, STAMP_AHEAD];

/// What the brokers say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cluster {
    /// Brokers that answer for partitions.
    pub brokers: usize,
    /// Each topic that was asked for and is there.
    pub topics: Vec<TopicFacts>,
    /// The state of the group, as the broker names it; none where it does not know the group.
    pub group_state: Option<String>,
    /// Members of the group: client and host.
    pub members: Vec<(String, String)>,
}

/// What the brokers say of a topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicFacts {
    /// Its name.
    pub name: String,
    /// Its partitions.
    pub partitions: usize,
    /// Copies of the partition with fewest.
    pub replicas: usize,
    /// Partitions of which some copy is not up to date.
    pub behind: usize,
    /// Records that stand behind an open Kafka transaction.
    pub unstable: i64,
    /// Settings by name, where the broker tells them.
    pub settings: BTreeMap<String, String>,
}

/// Asks for all of it, each question within `limit`.
///
/// # Errors
/// The brokers do not answer.
pub(crate) fn inspect(
    config: &Config,
    names: &[&str],
    limit: Duration,
) -> Result<Cluster, RunError> {
    let failed =
        |error: KafkaError| RunError::Fatal { reason: error.to_string(), stage: Stage::Receive };
    let settings = |error: KafkaError| RunError::Settings { reason: error.to_string() };
    let asker: BaseConsumer = client::inquiry(config).create().map_err(settings)?;
    let mut uncommitted = client::inquiry(config);
    uncommitted.set("isolation.level", "read_uncommitted");
    let everything: BaseConsumer = uncommitted.create().map_err(settings)?;
    let mut cluster = Cluster::default();
    let told = settings_of(config, names, limit);
    for name in names {
        let metadata = asker.fetch_metadata(Some(name), limit).map_err(failed)?;
        cluster.brokers = metadata.brokers().len();
        let Some(found) = metadata.topics().iter().find(|found| found.name() == *name) else {
            continue;
        };
        if found.error().is_some() || found.partitions().is_empty() {
            continue;
        }
        let all = found.partitions();
        let mut unstable = 0;
        for partition in all {
            let end = |client: &BaseConsumer| client.fetch_watermarks(name, partition.id(), limit);
            let (all, stable) =
                (end(&everything).map_err(failed)?.1, end(&asker).map_err(failed)?.1);
            unstable += (all - stable).max(0);
        }
        cluster.topics.push(TopicFacts {
            name: (*name).to_owned(),
            partitions: all.len(),
            replicas: all.iter().map(|it| it.replicas().len()).min().unwrap_or(0),
            behind: all.iter().filter(|it| it.isr().len() < it.replicas().len()).count(),
            unstable,
            settings: told.get(*name).cloned().unwrap_or_default(),
        });
    }
    let group = &config.kafka.group_id;
    let groups = asker.fetch_group_list(Some(group), limit).map_err(failed)?;
    if let Some(found) = groups.groups().iter().find(|found| found.name() == group) {
        cluster.group_state = Some(found.state().to_owned());
        let member = |member: &rdkafka::groups::GroupMemberInfo| {
            (member.client_id().to_owned(), member.client_host().to_owned())
        };
        cluster.members = found.members().iter().map(member).collect();
    }
    Ok(cluster)
}

/// The settings of topics. Empty where the brokers do not tell: it takes a permission that nothing else needs.
pub(crate) fn settings_of(
    config: &Config,
    names: &[&str],
    limit: Duration,
) -> BTreeMap<String, BTreeMap<String, String>> {
    let Ok(admin) = client::inquiry(config).create::<AdminClient<DefaultClientContext>>() else {
        return BTreeMap::new();
    };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_time().build() else {
        return BTreeMap::new();
    };
    let asked: Vec<ResourceSpecifier<'_>> =
        names.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
    let options = AdminOptions::new().request_timeout(Some(limit));
    let answer = runtime.block_on(async {
        tokio::time::timeout(limit, admin.describe_configs(&asked, &options)).await
    });
    let Ok(Ok(found)) = answer else { return BTreeMap::new() };
    let mut all = BTreeMap::new();
    for resource in found.into_iter().flatten() {
        let OwnedResourceSpecifier::Topic(name) = &resource.specifier else { continue };
        let value = |setting: &&str| {
            let value = resource.get(setting)?.value.clone()?;
            Some(((*setting).to_owned(), value))
        };
        all.insert(name.clone(), SETTINGS.iter().filter_map(value).collect());
    }
    all
}
