terraform {
  required_version = ">= 1.7"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "5.100.0" # the lock file beside this one holds its hashes
    }
  }
}

provider "aws" {
  region = var.aws_region
  default_tags {
    tags = merge({ Project = var.project_name, Environment = var.environment, ManagedBy = "terraform" }, var.tags)
  }
}

# If somebody has already made the repository (`aws ecr create-repository`), Terraform takes it over.
data "aws_ecr_repositories" "all" {}

import {
  for_each = var.ecr_repository_name == null ? setintersection(data.aws_ecr_repositories.all.names, ["${var.project_name}-${var.environment}"]) : []
  to       = module.ecr[0].aws_ecr_repository.this
  id       = each.key
}

# The repository of this environment, or the shared repository of bootstrap (shared_repository).
module "ecr" {
  source = "../../modules/ecr"
  count  = var.ecr_repository_name == null ? 1 : 0

  project_name         = var.project_name
  environment          = var.environment
  image_tag_mutability = var.image_tag_mutability
  max_image_count      = var.max_image_count
  pull_account_ids     = var.pull_account_ids
  force_delete         = var.force_destroy
}

moved {
  from = module.ecr
  to   = module.ecr[0]
}

data "aws_ecr_repository" "shared" {
  count = var.ecr_repository_name == null ? 0 : 1
  name  = var.ecr_repository_name
}

locals {
  repository_url = var.ecr_repository_name == null ? module.ecr[0].repository_url : data.aws_ecr_repository.shared[0].repository_url
}

module "inference" {
  source = "../../modules/inference"

  api_gateway_stage_name           = var.api_gateway_stage_name
  aws_region                       = var.aws_region
  cors_allowed_origins             = var.cors_allowed_origins
  dataset_sha256                   = var.dataset_sha256
  enable_api_key                   = var.enable_api_key
  enable_waf                       = var.enable_waf
  environment                      = var.environment
  force_destroy                    = var.force_destroy
  inference_config                 = var.inference_config
  inference_config_fingerprint     = var.inference_config_fingerprint
  job_max_concurrency              = var.job_max_concurrency
  job_timeout                      = var.job_timeout
  log_retention_days               = var.log_retention_days
  manage_api_gateway_account       = var.manage_api_gateway_account
  model_kms_key_arns               = var.model_kms_key_arns
  model_s3_bucket                  = var.model_s3_bucket
  model_s3_key                     = var.model_s3_key
  model_sha256                     = var.model_sha256
  model_version                    = var.model_version
  project_name                     = var.project_name
  s3_input_expiration_days         = var.s3_input_expiration_days
  s3_output_expiration_days        = var.s3_output_expiration_days
  store_api_key_in_secrets_manager = var.store_api_key_in_secrets_manager
  vpc                              = var.vpc
  waf_web_acl_arn                  = var.waf_web_acl_arn

  alarms = {
    email                = var.alarm_email
    invocations_per_hour = var.invocations_per_hour_alarm
  }

  canary = {
    enabled = var.enable_canary
    minutes = var.canary_minutes
    percent = var.canary_percent
  }

  lambda = {
    image_uri                         = var.lambda_image_uri
    architecture                      = var.lambda_architecture
    ephemeral_storage_size            = var.lambda_ephemeral_storage_size
    log_level                         = var.log_level
    memory_size                       = var.lambda_memory_size
    provisioned_concurrent_executions = var.lambda_provisioned_concurrent_executions
    reserved_concurrent_executions    = var.lambda_reserved_concurrent_executions
    timeout                           = var.lambda_timeout
  }

  throttle = {
    api_key_burst_limit = var.api_key_burst_limit
    api_key_daily_quota = var.api_key_daily_quota
    api_key_rate_limit  = var.api_key_rate_limit
    burst_limit         = var.throttle_burst_limit
    rate_limit          = var.throttle_rate_limit
  }
}

# Off by default; only who analyses seasons needs it. It costs nothing while no archive runs.
module "archive" {
  source = "../../modules/archive"
  count  = var.enable_archive ? 1 : 0

  alarm_topic_arn              = module.inference.alarm_topic_arn
  aws_region                   = var.aws_region
  bucket                       = module.inference.s3_output_bucket
  detector_environment         = module.inference.detector_environment
  environment                  = var.environment
  kms_key_arns                 = var.model_kms_key_arns
  log_retention_days           = var.log_retention_days
  max_concurrency              = var.archive_max_concurrency
  project_name                 = var.project_name
  source_buckets               = var.archive_source_buckets
  timeout                      = var.archive_timeout
  tolerated_failure_percentage = var.archive_tolerated_failure_percentage

  lambda = {
    image_uri                      = var.lambda_image_uri
    architecture                   = var.lambda_architecture
    ephemeral_storage_size         = var.archive_ephemeral_storage_size
    log_level                      = var.log_level
    memory_size                    = var.archive_memory_size
    reserved_concurrent_executions = var.archive_reserved_concurrent_executions
  }
}

# The promoted settings, compared with the values that Terraform uses. Terraform reads *.auto.tfvars.json after
# terraform.tfvars, and gives no message when it replaces a value.
locals {
  promoted = try(jsondecode(file("${path.root}/inference_config.auto.tfvars.json")), {})

  # Settings that are both in the promoted file and in terraform.tfvars.
  given_twice = [
    for name in keys(local.promoted) : name if anytrue([
      can(regex("(?m)^\\s*${name}\\s*=", file("${path.root}/terraform.tfvars"))),
      can(jsondecode(file("${path.root}/terraform.tfvars.json"))[name]),
    ])
  ]
  # Promoted settings that have another value, because of -var or another file of variables.
  replaced = concat(
    [
      for name, value in try(local.promoted.inference_config, {}) :
      "inference_config.${name}" if try(var.inference_config[name] != value, true)
    ],
    [
      for name, value in {
        dataset_sha256               = var.dataset_sha256
        inference_config_fingerprint = var.inference_config_fingerprint
        model_sha256                 = var.model_sha256
      } : name if try(local.promoted[name] != value, false)
    ],
  )
}
