# The detector on AWS: buckets, function, API, jobs, logs and alarms. One file for each; names and shared facts here.

terraform {
  required_version = ">= 1.7"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100, < 7"
    }
  }
}

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}

locals {
  name       = "${var.project_name}-${var.environment}"
  account_id = data.aws_caller_identity.current.account_id
  partition  = data.aws_partition.current.partition
  dns_suffix = data.aws_partition.current.dns_suffix

  function_name = "${local.name}-inference"

  # The function starts the state machine and the state machine calls the function: one of the two addresses must be
  # made from its name.
  state_machine_arn = "arn:${local.partition}:states:${var.aws_region}:${local.account_id}:stateMachine:${local.name}-jobs"
}
