output "api_endpoint" {
  description = "HTTPS address of /predict."
  value       = module.inference.api_endpoint

  precondition {
    condition     = length(local.given_twice) == 0
    error_message = "${join(", ", local.given_twice)}: given in terraform.tfvars and promoted in inference_config.auto.tfvars.json, which would win. Remove it from one of them."
  }
  precondition {
    condition     = length(local.replaced) == 0
    error_message = "${join(", ", local.replaced)}: not what inference_config.auto.tfvars.json promotes for this model. Promote anew, or remove the file and give settings, fingerprint and model together."
  }
}

output "api_key_value" {
  description = "The API key, to send as x-api-key; null if keys are off."
  value       = module.inference.api_key_value
  sensitive   = true
}

output "lambda_function_name" {
  description = "Name of the function."
  value       = module.inference.lambda_function_name
}

output "s3_input_bucket" {
  description = "Bucket of uploaded recordings."
  value       = module.inference.s3_input_bucket
}

output "s3_output_bucket" {
  description = "Bucket of results."
  value       = module.inference.s3_output_bucket
}

output "ecr_repository_url" {
  description = "Where the function's image is pushed, without a tag."
  value       = local.repository_url
}

output "state_machine_arn" {
  description = "State machine that works on jobs."
  value       = module.inference.state_machine_arn
}

output "dashboard_url" {
  description = "The dashboard in the AWS console."
  value       = module.inference.dashboard_url
}

output "alarm_topic_arn" {
  description = "SNS topic of alarms and failed jobs."
  value       = module.inference.alarm_topic_arn
}

output "archive_run_command" {
  description = "Command that runs an archive on AWS; null if enable_archive is off."
  value       = one(module.archive[*].run_command)
}

output "archive_state_machine_arn" {
  description = "State machine that takes the batches of an archive (ANEMONE_ARCHIVE_STATE_MACHINE); its bucket (ANEMONE_ARCHIVE_BUCKET) is s3_output_bucket. Null if enable_archive is off."
  value       = one(module.archive[*].state_machine_arn)
}

output "archive_user_policy" {
  description = "Policy for people who run archives on AWS, as JSON; null if enable_archive is off."
  value       = one(module.archive[*].user_policy)
}

output "rollout" {
  description = "What terraform/rollout.sh moves, and which alarms it watches; null if enable_canary is off."
  value       = module.inference.rollout
}
