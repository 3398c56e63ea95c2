output "state_machine_arn" {
  description = "State machine that takes the batches: ANEMONE_ARCHIVE_STATE_MACHINE, or --state-machine."
  value       = aws_sfn_state_machine.this.arn
}

output "bucket" {
  description = "Bucket of batches and their results, under archives/: ANEMONE_ARCHIVE_BUCKET, or --bucket."
  value       = var.bucket
}

output "run_command" {
  description = "Command that runs an archive here; put your prefix and folder into it."
  value       = "anemone archive run s3://BUCKET/PREFIX --out DIR --on aws --state-machine ${aws_sfn_state_machine.this.arn} --bucket ${var.bucket}"
}

output "lambda_function_name" {
  description = "Name of the function."
  value       = aws_lambda_function.this.function_name
}

output "user_policy" {
  description = "Policy for people who run archives, as JSON: the calls of the command. The right to read the recordings is not in it."
  value       = jsonencode(local.user_policy)
}
