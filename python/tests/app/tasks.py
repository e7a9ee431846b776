"""Tasks that the tests enqueue."""

from gristmill.compat import task


@task
def add(left, right=1):
    return left + right


@task(queue_name="mail", priority=5)
def send(address, *copies, **headers):
    return address


@task(takes_context=True)
def with_context(context, *args, **kwargs):
    return context.task_result.id


@task()
async def add_async(left, right=1):
    return left + right
