"""PostgreSQL, Valkey and a Kafka-compatible broker on one machine, from wheels: start, stop, health, reuse.

::

    stack = Stack(Path(".fintrack"))
    environment = stack.start()      # DB_HOST, DB_PORT, ..., REDIS_URL, KAFKA_BOOTSTRAP_SERVERS
    stack.spawn("worker", argv, env) # anything else that belongs to it
    stack.stop()                     # all of it, from any process

The servers listen on 127.0.0.1 alone, outlive the process that starts them, and start again over what is on disk after
a ``kill -9``. What PostgreSQL committed survives that and a power cut; Valkey's queues survive that, and may lose two
seconds to a power cut; **the Kafka broker keeps its topics in memory only**, so a restarted broker is an empty one.

Nothing is read from the environment: the folder is an argument, and the servers get an environment of their own.
"""

from fintrack_tasks.embedded.process import ProcessState
from fintrack_tasks.embedded.stack import ServerHealth, Stack

__all__ = ["ProcessState", "ServerHealth", "Stack"]
