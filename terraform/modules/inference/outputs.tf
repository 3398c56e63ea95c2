output "api_endpoint" {
  description = "HTTPS address of /predict."
  value       = "${aws_api_gateway_stage.this.invoke_url}/predict"
}

output "api_key_value" {
  description = "The API key, to send as x-api-key; null if keys are off."
  value       = one(aws_api_gateway_api_key.this[*].value)
  sensitive   = true
}

output "lambda_function_name" {
  description = "Name of the function."
  value       = aws_lambda_function.this.function_name
}

output "s3_input_bucket" {
  description = "Bucket of uploaded recordings."
  value       = aws_s3_bucket.this["input"].id
}

output "s3_output_bucket" {
  description = "Bucket of results."
  value       = aws_s3_bucket.this["output"].id
}

output "state_machine_arn" {
  description = "State machine that works on jobs."
  value       = aws_sfn_state_machine.jobs.arn
}

output "dashboard_url" {
  description = "The dashboard in the AWS console."
  value       = "https://${var.aws_region}.console.aws.amazon.com/cloudwatch/home?region=${var.aws_region}#dashboards/dashboard/${aws_cloudwatch_dashboard.this.dashboard_name}"
}

output "alarm_topic_arn" {
  description = "SNS topic of alarms and failed jobs."
  value       = aws_sns_topic.alarms.arn
}

output "detector_environment" {
  description = "Environment variables that name the model and every setting, for another function that runs the same detector (modules/archive)."
  value       = local.detector_environment
}

output "rollout" {
  description = "What terraform/rollout.sh moves, and which alarms it watches; null if there is no canary."
  value = var.canary.enabled ? {
    function = aws_lambda_function.this.function_name
    version  = aws_lambda_function.this.version
    aliases  = keys(aws_lambda_alias.shifted)
    alarms   = [for name in ["api-5xx", "api-latency", "duration", "errors"] : aws_cloudwatch_metric_alarm.this[name].alarm_name]
    minutes  = var.canary.minutes
    percent  = var.canary.percent
  } : null
}
