//! Topics as the cluster describes them, and their creation.

use super::KafkaSettings;
use super::client::{ANSWER_WAIT_MAX, Troubles, client_config, code_of, diagnose, failed, is_of_connection};
use crate::{Cleanup, LogError, TopicPlan};
use rdkafka::admin::{
    AdminClient, AdminOptions, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication, TopicResult,
};
use rdkafka::client::Client;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafka;
use rdkafka_sys as sys;
use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::ptr;
use std::slice;
use std::time::{Duration, Instant};

/// A topic as the cluster knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicInfo {
    /// Different for a topic of the same name that is created later.
    pub id: String,
    /// Its partitions.
    pub partitions: u32,
    /// What this user may do with it, in Kafka's words; empty where the cluster has no authorizer.
    pub operations: Vec<&'static str>,
}

/// How long a topic that was just created or grown may take to be known everywhere.
const KNOWN_WAIT_MAX: Duration = Duration::from_secs(20);

/// What a request to describe topics holds; all of it is freed in one place, whatever happens.
struct Request {
    queue: *mut sys::rd_kafka_queue_t,
    options: *mut sys::rd_kafka_AdminOptions_t,
    names: *mut sys::rd_kafka_TopicCollection_t,
    event: *mut sys::rd_kafka_event_t,
}

impl Drop for Request {
    fn drop(&mut self) {
        // SAFETY: each pointer is null or was made by the library for this request alone, and the event is not read any more. The
        // library accepts a null queue nowhere, so it is asked for.
        unsafe {
            if !self.event.is_null() {
                sys::rd_kafka_event_destroy(self.event);
            }
            if !self.names.is_null() {
                sys::rd_kafka_TopicCollection_destroy(self.names);
            }
            if !self.options.is_null() {
                sys::rd_kafka_AdminOptions_destroy(self.options);
            }
            if !self.queue.is_null() {
                sys::rd_kafka_queue_destroy(self.queue);
            }
        }
    }
}

/// Describes one topic; nothing if there is no such topic. The crate has no call for it, and its metadata have no ids.
///
/// # Errors
/// When the cluster does not answer within `wait`, or refuses.
pub(super) fn describe<C: rdkafka::client::ClientContext>(
    client: &Client<C>,
    topic: &str,
    wait: Duration,
) -> Result<Option<TopicInfo>, KafkaError> {
    let name = CString::new(topic)?;
    let native: *mut RDKafka = client.native_ptr();
    let mut names = [name.as_ptr()];
    // SAFETY: `native` lives as long as `client`; the names are copied by the library before the call returns; every object is put
    // into `request`, which frees it; the event is read before `request` is dropped.
    unsafe {
        let mut request = Request {
            queue: sys::rd_kafka_queue_new(native),
            options: sys::rd_kafka_AdminOptions_new(native, sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS),
            names: sys::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len()),
            event: ptr::null_mut(),
        };
        let (millis, mut message) = (wait.as_millis() as i32, [0; 256]);
        sys::rd_kafka_AdminOptions_set_request_timeout(request.options, millis, message.as_mut_ptr(), message.len());
        let refused = sys::rd_kafka_AdminOptions_set_include_authorized_operations(request.options, 1);
        if !refused.is_null() {
            sys::rd_kafka_error_destroy(refused);
        }
        sys::rd_kafka_DescribeTopics(native, request.names, request.options, request.queue);
        request.event = sys::rd_kafka_queue_poll(request.queue, millis + 1000);
        if request.event.is_null() {
            return Err(KafkaError::AdminOp(RDKafkaErrorCode::OperationTimedOut));
        }
        let code = sys::rd_kafka_event_error(request.event);
        if code != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(KafkaError::AdminOp(code.into()));
        }
        read_description(request.event)
    }
}

/// # Safety
/// `event` is the result of `rd_kafka_DescribeTopics` for one topic.
unsafe fn read_description(event: *mut sys::rd_kafka_event_t) -> Result<Option<TopicInfo>, KafkaError> {
    // SAFETY: what the accessors return belongs to the event and is copied before this returns; lengths come with the arrays.
    unsafe {
        let (mut topics, mut partitions, mut operations) = (0, 0, 0);
        let result = sys::rd_kafka_event_DescribeTopics_result(event);
        let described = sys::rd_kafka_DescribeTopics_result_topics(result, &mut topics);
        if topics != 1 {
            return Err(KafkaError::AdminOp(RDKafkaErrorCode::BadMessage));
        }
        let topic = *described;
        match sys::rd_kafka_error_code(sys::rd_kafka_TopicDescription_error(topic)) {
            sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => {}
            sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART => return Ok(None),
            code => return Err(KafkaError::AdminOp(code.into())),
        }
        let id = sys::rd_kafka_Uuid_base64str(sys::rd_kafka_TopicDescription_topic_id(topic));
        sys::rd_kafka_TopicDescription_partitions(topic, &mut partitions);
        let allowed = sys::rd_kafka_TopicDescription_authorized_operations(topic, &mut operations);
        let allowed = if allowed.is_null() { &[][..] } else { slice::from_raw_parts(allowed, operations) };
        Ok(Some(TopicInfo {
            id: CStr::from_ptr(id).to_string_lossy().into_owned(),
            partitions: partitions as u32,
            operations: allowed.iter().filter_map(|operation| operation_name(*operation)).collect(),
        }))
    }
}

fn operation_name(operation: sys::rd_kafka_AclOperation_t) -> Option<&'static str> {
    use sys::rd_kafka_AclOperation_t as Acl;
    Some(match operation {
        Acl::RD_KAFKA_ACL_OPERATION_READ => "Read",
        Acl::RD_KAFKA_ACL_OPERATION_WRITE => "Write",
        Acl::RD_KAFKA_ACL_OPERATION_CREATE => "Create",
        Acl::RD_KAFKA_ACL_OPERATION_ALTER => "Alter",
        Acl::RD_KAFKA_ACL_OPERATION_DESCRIBE => "Describe",
        Acl::RD_KAFKA_ACL_OPERATION_DESCRIBE_CONFIGS => "DescribeConfigs",
        _ => return None,
    })
}

/// Asks for, creates and grows topics.
pub(super) struct Admin {
    client: AdminClient<Troubles>,
    settings: KafkaSettings,
}

impl Admin {
    pub(super) fn connect(settings: &KafkaSettings) -> Result<Admin, LogError> {
        let connected = client_config(settings, &[], &[]).create_with_context(Troubles::default());
        let client = connected.map_err(|error| failed("connect to Kafka", &error, None))?;
        Ok(Admin { client, settings: settings.clone() })
    }

    /// This kind of client is told of nothing but its requests, so what is wrong with the connection another one finds out.
    fn failed(&self, action: String, error: &KafkaError) -> LogError {
        match code_of(error).is_some_and(is_of_connection) {
            true => failed(action, error, diagnose(&self.settings).as_deref()),
            false => failed(action, error, None),
        }
    }

    fn options() -> AdminOptions {
        AdminOptions::new().request_timeout(Some(ANSWER_WAIT_MAX)).operation_timeout(Some(ANSWER_WAIT_MAX))
    }

    /// # Errors
    /// When the cluster does not answer, or refuses.
    pub(super) fn topic(&self, name: &str) -> Result<Option<TopicInfo>, LogError> {
        describe(self.client.inner(), name, ANSWER_WAIT_MAX)
            .map_err(|error| self.failed(format!("ask for the topic {name}"), &error))
    }

    /// The configuration of a topic that matters here; empty where this user may not read it.
    pub(super) fn topic_config(&self, name: &str) -> Result<BTreeMap<String, String>, LogError> {
        let action = || format!("ask for the configuration of the topic {name}");
        let (topic, options) = (ResourceSpecifier::Topic(name), Self::options());
        let answers = pollster::block_on(self.client.describe_configs([&topic], &options))
            .map_err(|error| self.failed(action(), &error))?;
        match answers.into_iter().next() {
            Some(Ok(resource)) => {
                let entries = resource.entries.into_iter();
                Ok(entries.filter_map(|entry| Some((entry.name, entry.value?))).collect())
            }
            Some(Err(RDKafkaErrorCode::TopicAuthorizationFailed)) | None => Ok(BTreeMap::new()),
            Some(Err(code)) => Err(self.failed(action(), &KafkaError::AdminOp(code))),
        }
    }

    /// Creates a topic, and waits until it is known.
    pub(super) fn create(&self, plan: &TopicPlan) -> Result<(), LogError> {
        let bytes = plan.record_bytes_max.map(|bytes| bytes.to_string());
        let replication = TopicReplication::Fixed(self.settings.replication);
        let mut topic = NewTopic::new(&plan.name, plan.partitions as i32, replication);
        topic = topic.set("cleanup.policy", plan.cleanup.policy());
        if plan.cleanup == Cleanup::Keep {
            topic = topic.set("retention.ms", "-1");
        }
        if let Some(bytes) = &bytes {
            topic = topic.set("max.message.bytes", bytes);
        }
        let asked = pollster::block_on(self.client.create_topics([&topic], &Self::options()));
        self.done(format!("create the topic {}", plan.name), asked, RDKafkaErrorCode::TopicAlreadyExists)?;
        self.wait_for(&plan.name, plan.partitions)
    }

    /// Adds partitions to a topic, and waits until they are known.
    pub(super) fn grow(&self, name: &str, partitions: u32) -> Result<(), LogError> {
        let wanted = NewPartitions::new(name, partitions as usize);
        let asked = pollster::block_on(self.client.create_partitions([&wanted], &Self::options()));
        self.done(
            format!("raise the topic {name} to {partitions} partitions"),
            asked,
            RDKafkaErrorCode::InvalidPartitions,
        )?;
        self.wait_for(name, partitions)
    }

    /// Another process may have done it in the meantime, which `done_already` says.
    fn done(
        &self,
        action: String,
        asked: Result<Vec<TopicResult>, KafkaError>,
        done_already: RDKafkaErrorCode,
    ) -> Result<(), LogError> {
        match asked.map(|answers| answers.into_iter().next()) {
            Ok(Some(Err((_, code)))) if code != done_already => Err(self.failed(action, &KafkaError::AdminOp(code))),
            Ok(_) => Ok(()),
            Err(error) => Err(self.failed(action, &error)),
        }
    }

    fn wait_for(&self, name: &str, partitions: u32) -> Result<(), LogError> {
        let began = Instant::now();
        while self.topic(name)?.is_none_or(|topic| topic.partitions < partitions) {
            if began.elapsed() > KNOWN_WAIT_MAX {
                return Err(LogError::Kafka {
                    action: format!("use the topic {name}"),
                    cause: format!("it was asked to have {partitions} partitions and is not known to have them"),
                    remedy: "look at the cluster's controller",
                });
            }
            // The brokers learn of it from their controller, and tell nobody.
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}
