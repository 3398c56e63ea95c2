# A season of recordings, analysed by many calls of the function at once: what `anemone archive run --on aws` hands its
# batches to. The laptop plans and writes the tables; here is what is done between.

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
  name       = "${var.project_name}-${var.environment}-archive"
  account_id = data.aws_caller_identity.current.account_id
  partition  = data.aws_partition.current.partition
  dns_suffix = data.aws_partition.current.dns_suffix

  bucket_arn = "arn:${local.partition}:s3:::${var.bucket}"

  # The state machine starts executions of itself, one for each batch: its address must be made from its name.
  states_arn        = "arn:${local.partition}:states:${var.aws_region}:${local.account_id}"
  state_machine_arn = "${local.states_arn}:stateMachine:${local.name}"
}
