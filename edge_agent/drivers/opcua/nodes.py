"""Addresses as the library's node ids, and namespaces by their URIs."""

import base64
import uuid
from collections.abc import Sequence
from typing import Any

from asyncua import ua

from edge_agent.drivers.opcua.address import Address, IdType


def node_id(address: Address, namespaces: Sequence[str]) -> ua.NodeId | None:
    """None where the server has no namespace of this URI."""
    if address.namespace is not None:
        space = address.namespace
    elif address.uri in namespaces:
        space = namespaces.index(address.uri)
    else:
        return None
    identifier: Any = address.identifier
    return _node_id(address.type, identifier, space)


def _node_id(type_: IdType, identifier: Any, space: Any) -> ua.NodeId:
    if type_ is IdType.NUMBER:
        identifier = int(identifier)
        return ua.NodeId(identifier, space)
    if type_ is IdType.GUID:
        identifier = uuid.UUID(identifier)
        return ua.NodeId(identifier, space)
    if type_ is IdType.BYTES:
        identifier = base64.b64decode(identifier)
        return ua.NodeId(identifier, space, ua.NodeIdType.ByteString)
    return ua.NodeId(identifier, space, ua.NodeIdType.String)
