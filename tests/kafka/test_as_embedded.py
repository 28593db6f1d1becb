"""What is tested on the embedded broker holds on a real Kafka as well: the same tests, collected here once more."""

from __future__ import annotations

import pytest

from tests.publish.test_kafka import (  # noqa: F401  they are used by being here
    test_a_forked_child_publishes_with_a_client_of_its_own,
    test_a_message_carries_key_value_and_headers_that_a_consumer_can_choose_by,
    test_a_topic_that_is_not_there_holds_nothing,
    test_an_event_that_is_too_large_halts_its_key_and_is_no_outage,
    test_every_acknowledged_event_is_in_kafka_once_and_in_the_order_of_its_key,
    test_publishing_to_a_topic_that_is_not_there_creates_it,
    test_reading_begins_where_it_is_told_and_leaves_out_what_is_no_object,
    test_threads_share_a_producer,
)

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(400)]
