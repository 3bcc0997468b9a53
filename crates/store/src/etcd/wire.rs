//! etcd's messages, made of `proto/etcd.proto`, and the requests that are made of them most.
#![expect(unreachable_pub, reason = "the generated types are public within this private module")]

include!(concat!(env!("OUT_DIR"), "/etcdserverpb.rs"));

/// Asks for one key.
pub(super) fn one(key: Vec<u8>) -> RangeRequest {
    RangeRequest { key, ..RangeRequest::default() }
}

/// The first key behind all that begin with `prefix`.
pub(super) fn behind(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    // A single zero is etcd's word for "to the end".
    vec![0]
}

/// Demands that a key was last changed by this revision.
pub(super) fn modified_at(key: Vec<u8>, revision: i64) -> Compare {
    Compare {
        result: compare::CompareResult::Equal.into(),
        target: compare::CompareTarget::Mod.into(),
        key,
        target_union: Some(compare::TargetUnion::ModRevision(revision)),
    }
}

/// Demands that nothing, or something, is under a key.
pub(super) fn is_there(key: Vec<u8>, there: bool) -> Compare {
    let result = if there { compare::CompareResult::Greater } else { compare::CompareResult::Equal };
    Compare {
        result: result.into(),
        target: compare::CompareTarget::Version.into(),
        key,
        target_union: Some(compare::TargetUnion::Version(0)),
    }
}

/// A put as part of a transaction.
pub(super) fn put(key: Vec<u8>, value: Vec<u8>, lease: i64) -> RequestOp {
    RequestOp { request: Some(request_op::Request::Put(PutRequest { key, value, lease })) }
}

/// A deletion as part of a transaction.
pub(super) fn delete(key: Vec<u8>) -> RequestOp {
    RequestOp {
        request: Some(request_op::Request::DeleteRange(DeleteRangeRequest { key, range_end: Vec::new() })),
    }
}

/// A read as part of a transaction.
pub(super) fn read(range: RangeRequest) -> RequestOp {
    RequestOp { request: Some(request_op::Request::Range(range)) }
}

/// What the reads of a transaction found, in their order.
pub(super) fn found(responses: Vec<ResponseOp>) -> Vec<KeyValue> {
    let ranges = responses.into_iter().filter_map(|one| match one.response {
        Some(response_op::Response::Range(range)) => Some(range.kvs),
        _ => None,
    });
    ranges.flatten().collect()
}
