//! MongoDB's commands that are known.

use kronos_core::inspect::{Effect, Severity};

/// What a command does.
#[derive(Debug, Clone, Copy)]
pub(super) enum Does {
    Reads,
    Explains,
    Inserts,
    Updates,
    Deletes,
    FindsAndModifies,
    Reduces,
    Other(Severity, Effect, &'static str),
}

const READING: &str = "
    find aggregate count distinct listCollections listDatabases listIndexes dbStats dbstats collStats collstats
    ping hello isMaster ismaster buildInfo buildinfo connectionStatus hostInfo getParameter getCmdLineOpts
    serverStatus listCommands dataSize features top usersInfo rolesInfo replSetGetStatus replSetGetConfig
    currentOp whatsmyuri getDefaultRWConcern listSearchIndexes getShardMap listShards
    balancerStatus getLog
";

const DEFINING: &str = "create createIndexes createSearchIndexes";

const CHANGING: &str = "
    collMod renameCollection convertToCapped setIndexCommitQuorum updateSearchIndex cloneCollectionAsCapped compact
    reIndex refineCollectionShardKey shardCollection reshardCollection
";

const DROPPING: &str = "drop dropDatabase dropIndexes deleteIndexes dropSearchIndex dropConnections";

const USERS: &str = "
    createUser updateUser grantRolesToUser revokeRolesFromUser createRole updateRole grantPrivilegesToRole
    revokePrivilegesFromRole grantRolesToRole revokeRolesFromRole invalidateUserCache
";

const SERVER: &str = "
    shutdown dropUser dropRole dropAllUsersFromDatabase dropAllRolesFromDatabase killOp killSessions killAllSessions
    killAllSessionsByPattern replSetReconfig replSetInitiate replSetStepDown replSetFreeze replSetMaintenance
    replSetResizeOplog replSetSyncFrom fsync fsyncUnlock setParameter setFeatureCompatibilityVersion logRotate
    rotateCertificates applyOps eval $eval configureFailPoint sleep godinsert clone cloneCollection copydb
    addShard removeShard movePrimary moveChunk enableSharding split mergeChunks flushRouterConfig
    internalRenameIfOptionsAndIndexesMatch repairDatabase resync emptycapped captrunc profile
    transitionFromDedicatedConfigServer setDefaultRWConcern setClusterParameter planCacheClear
    planCacheClearFilters planCacheSetFilter
";

/// Nobody writes to the database until it is done.
const LOCKING: &str = "dbHash dbhash";

const SESSION: &str = "
    getMore killCursors startSession endSessions refreshSessions commitTransaction abortTransaction validate
    authenticate saslStart saslContinue logout
";

pub(super) fn of(name: &str) -> Option<Does> {
    let is_in = |names: &str| names.split_ascii_whitespace().any(|known| known == name);
    let does = match name {
        "explain" => Does::Explains,
        "insert" => Does::Inserts,
        "update" => Does::Updates,
        "delete" => Does::Deletes,
        "findAndModify" | "findandmodify" => Does::FindsAndModifies,
        "mapReduce" | "mapreduce" => Does::Reduces,
        _ if is_in(READING) => Does::Reads,
        _ if is_in(DEFINING) => {
            Does::Other(Severity::Low, Effect::Defines, "it creates a collection, a view or an index")
        }
        _ if is_in(CHANGING) => Does::Other(Severity::High, Effect::Defines, "it changes a definition"),
        _ if is_in(DROPPING) => Does::Other(Severity::Critical, Effect::Defines, "it drops something"),
        _ if is_in(USERS) => Does::Other(Severity::High, Effect::Administers, "it changes users or rights"),
        _ if is_in(SERVER) => Does::Other(Severity::Critical, Effect::Administers, "it commands the server"),
        _ if is_in(LOCKING) => Does::Other(Severity::Medium, Effect::Session, "it locks the database while it reads"),
        _ if is_in(SESSION) => Does::Other(Severity::Medium, Effect::Session, "it changes the session"),
        _ => return None,
    };
    Some(does)
}

/// Keys beside the command by which some servers write what a reading command finds.
pub(super) fn is_hidden_writer(key: &str) -> bool {
    matches!(key, "$out" | "$merge")
}
