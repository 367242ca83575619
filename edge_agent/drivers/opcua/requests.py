"""Requests in the library's words, made of a plan's items. Pure."""

from collections.abc import Iterable, Sequence
from typing import Final

from asyncua import ua

from edge_agent.config.models import Deadband
from edge_agent.drivers.opcua.plan import Item, OpcUaPlan
from edge_agent.drivers.opcua.settings import Attribute

# Just below what the pipeline's own filter keeps: the server wants more than this, the filter at least that.
_ALMOST: Final = 1 - 1e-6
# Changes in one message: what is more comes in the next, where one of all would be larger than we take.
_MOST_AT_ONCE: Final = 10_000
NAMESPACES: Final = ua.NodeId(ua.Int32(2255))
START_TIME: Final = ua.NodeId(ua.Int32(2257))
MAX_NODES_PER_READ: Final = ua.NodeId(ua.Int32(11705))
MAX_ITEMS_PER_CALL: Final = ua.NodeId(ua.Int32(11714))


def to_read(item: Item, node: ua.NodeId) -> ua.ReadValueId:
    return ua.ReadValueId(NodeId=node, AttributeId=item.attribute, IndexRange=item.index_range)


def read(values: Sequence[ua.ReadValueId]) -> ua.ReadRequest:
    """The source's time only: when the server itself looked tells nobody anything."""
    request = ua.ReadRequest()
    request.Parameters = ua.ReadParameters(
        MaxAge=0.0, TimestampsToReturn=ua.TimestampsToReturn.Source, NodesToRead=list(values)
    )
    return request


def read_values(nodes: Iterable[ua.NodeId]) -> ua.ReadRequest:
    return read([ua.ReadValueId(NodeId=node, AttributeId=Attribute.VALUE.number) for node in nodes])


def write(item: Item, node: ua.NodeId, variant: ua.Variant) -> ua.WriteRequest:
    """Only the value: many servers refuse a status or a time."""
    request = ua.WriteRequest()
    value = ua.WriteValue(
        NodeId=node, AttributeId=item.attribute, IndexRange=item.index_range,
        Value=ua.DataValue(Value=variant, StatusCode=None, SourceTimestamp=None, ServerTimestamp=None),
    )  # fmt: skip
    request.Parameters = ua.WriteParameters(NodesToWrite=[value])
    return request


def create_subscription(
    plan: OpcUaPlan, keepalive: float, lifetime: float, publishing: float
) -> ua.CreateSubscriptionRequest:
    """keepalive, lifetime: seconds, which the server counts in its publishing intervals (Part 4, 5.14.2)."""
    request = ua.CreateSubscriptionRequest()
    keepalive_count = max(1, round(keepalive / publishing))
    request.Parameters = ua.CreateSubscriptionParameters(
        RequestedPublishingInterval=1000.0 * plan.publishing,
        RequestedMaxKeepAliveCount=keepalive_count,
        RequestedLifetimeCount=max(3 * keepalive_count, round(lifetime / publishing)),
        MaxNotificationsPerPublish=_MOST_AT_ONCE,
        PublishingEnabled=True,
        Priority=0,
    )
    return request


def create_items(
    plan: OpcUaPlan, subscription: int, items: Sequence[tuple[int, ua.NodeId]], *, bands: bool
) -> ua.CreateMonitoredItemsRequest:
    """items: places in the schema, which become the client's handles, and their nodes."""
    request = ua.CreateMonitoredItemsRequest()
    request.Parameters = ua.CreateMonitoredItemsParameters(
        SubscriptionId=subscription,
        TimestampsToReturn=ua.TimestampsToReturn.Source,
        ItemsToCreate=[_to_create(plan, tag, node, bands=bands) for tag, node in items],
    )
    return request


def _to_create(plan: OpcUaPlan, tag: int, node: ua.NodeId, *, bands: bool) -> ua.MonitoredItemCreateRequest:
    item = plan.items[tag]
    return ua.MonitoredItemCreateRequest(
        ItemToMonitor=to_read(item, node),
        MonitoringMode=ua.MonitoringMode.Reporting,
        RequestedParameters=ua.MonitoringParameters(
            ClientHandle=tag,
            SamplingInterval=1000.0 * plan.sampling,
            Filter=_filter(item.band, item.scale) if bands else None,
            QueueSize=plan.queue_size,
            DiscardOldest=True,
        ),
    )


def _filter(band: Deadband | None, scale: float) -> ua.DataChangeFilter | None:
    """The band in the server's numbers. None: every change."""
    if band is None or band.absolute is None:
        return None
    return ua.DataChangeFilter(
        Trigger=ua.DataChangeTrigger.StatusValue,
        DeadbandType=int(ua.DeadbandType.Absolute),
        DeadbandValue=band.absolute / abs(scale) * _ALMOST,
    )


def publish(acknowledged: Iterable[tuple[int, int]]) -> ua.PublishRequest:
    """acknowledged: subscriptions and the numbers of their messages that came."""
    request = ua.PublishRequest()
    request.Parameters.SubscriptionAcknowledgements = [
        ua.SubscriptionAcknowledgement(SubscriptionId=subscription, SequenceNumber=number)
        for subscription, number in acknowledged
    ]
    return request


def republish(subscription: int, number: int) -> ua.RepublishRequest:
    request = ua.RepublishRequest()
    request.Parameters = ua.RepublishParameters(SubscriptionId=subscription, RetransmitSequenceNumber=number)
    return request


def delete_subscription(subscription: int) -> ua.DeleteSubscriptionsRequest:
    request = ua.DeleteSubscriptionsRequest()
    request.Parameters = ua.DeleteSubscriptionsParameters(SubscriptionIds=[subscription])
    return request


def transfer(subscriptions: Sequence[int]) -> ua.TransferSubscriptionsRequest:
    request = ua.TransferSubscriptionsRequest()
    request.Parameters = ua.TransferSubscriptionsParameters(
        SubscriptionIds=list(subscriptions), SendInitialValues=False
    )
    return request
