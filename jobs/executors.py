"""Where research runs: one function picks the executor from the environment, so that nothing else knows the machines.

Trading never comes here: it runs in one process, whatever research does.
"""

import os

import dagster as dg

from triplegain_pipelines.settings import Environment, ResearchExecutor

_PRELOADED = ["dagster", "dagster_postgres", "triplegain_pipelines.definitions"]
_PACKAGES = {ResearchExecutor.CELERY: "dagster-celery", ResearchExecutor.KUBERNETES: "dagster-k8s"}


def research_executor() -> dg.ExecutorDefinition:
    """The executor of research jobs.

    `processes`, the default, uses the cores of this machine through a fork server that has imported everything once.
    `celery` and `kubernetes` spread the steps over machines.

    Raises:
        DagsterInvariantViolationError: the package that it needs is not installed.
    """
    wanted = Environment().research_executor
    if wanted is ResearchExecutor.ONE:
        return dg.in_process_executor
    if wanted is ResearchExecutor.PROCESSES:
        forked = {"forkserver": {"preload_modules": _PRELOADED}}
        return dg.multiprocess_executor.configured({"max_concurrent": os.cpu_count() or 1, "start_method": forked})
    try:
        return _spread(wanted)
    except ImportError as error:
        msg = f"TRIPLEGAIN_RESEARCH_EXECUTOR={wanted} needs the package {_PACKAGES[wanted]}; install it beside this one"
        raise dg.DagsterInvariantViolationError(msg) from error


def _spread(wanted: ResearchExecutor) -> dg.ExecutorDefinition:
    found: dg.ExecutorDefinition
    if wanted is ResearchExecutor.CELERY:
        from dagster_celery import celery_executor

        found = celery_executor
    else:
        from dagster_k8s import k8s_job_executor

        found = k8s_job_executor
    return found
