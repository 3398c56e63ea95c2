"""What `destroy` leaves: nothing. A file of its own, so that it comes after all that needs the environments."""

from tests.aws.conftest import MODEL_BUCKET, SOURCE_BUCKET


def test_destroy_leaves_nothing(destroyed):
    client = destroyed.admin.client
    left = {
        "alarms": client("cloudwatch").describe_alarms()["MetricAlarms"],
        "apis": client("apigateway").get_rest_apis()["items"],
        "buckets": [
            b for b in client("s3").list_buckets()["Buckets"] if b["Name"] not in (MODEL_BUCKET, SOURCE_BUCKET)
        ],
        "dashboards": client("cloudwatch").list_dashboards()["DashboardEntries"],
        "functions": client("lambda").list_functions()["Functions"],
        "keys": client("apigateway").get_api_keys()["items"],
        "log groups": client("logs").describe_log_groups()["logGroups"],
        "plans": client("apigateway").get_usage_plans()["items"],
        "rules": client("events").list_rules()["Rules"],
        "repositories": client("ecr").describe_repositories()["repositories"],
        "roles": client("iam").list_roles()["Roles"],
        "secrets": client("secretsmanager").list_secrets()["SecretList"],
        "state machines": client("stepfunctions").list_state_machines()["stateMachines"],
        "subscriptions": client("sns").list_subscriptions()["Subscriptions"],
        "topics": client("sns").list_topics()["Topics"],
    }
    assert not {kind: things for kind, things in left.items() if things}
    for deployment in destroyed.deployments.values():
        assert deployment.terraform(deployment.root, "state", "list") == ""


def test_a_secret_of_the_same_name_can_be_made_after_destroy(destroyed):
    secrets = destroyed.admin.client("secretsmanager")
    made = secrets.create_secret(Name="anemonefish-inference-prod-api-key", SecretString="another")
    secrets.delete_secret(SecretId=made["ARN"], ForceDeleteWithoutRecovery=True)
