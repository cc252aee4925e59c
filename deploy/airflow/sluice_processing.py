"""Triggers a processing cycle of the water network every half hour.

The connection `sluice_api` is an HTTP connection to the api (host, port). Its extra field holds the key, which is sent
as a header with every request: {"X-API-Key": "slk_…"}. A key with the scope write is enough:
./sluice keys add airflow --scope write
"""

from datetime import datetime

from airflow import DAG
from airflow.providers.http.operators.http import HttpOperator

with DAG(
    "sluice_processing",
    schedule="*/30 * * * *",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
) as dag:
    HttpOperator(
        task_id="trigger_processing",
        http_conn_id="sluice_api",
        endpoint="/api/v1/processing/trigger",
        method="POST",
        # 200 when it is done, 202 while it still runs: both are accepted
        response_check=lambda response: response.status_code in (200, 202),
    )
