output "state_bucket" {
  description = "Bucket of the state: STATE_BUCKET of every GitHub environment, `bucket` in backend.tf."
  value       = aws_s3_bucket.state.id
}

output "roles" {
  description = "ARN of the role by GitHub environment: its AWS_ROLE."
  value       = { for name, role in aws_iam_role.github : name => role.arn }
}

output "api_gateway_log_role" {
  description = "ARN of the role with which API Gateway writes logs."
  value       = aws_iam_role.api_logs.arn
}

output "shared_repository_name" {
  description = "Repository from which both environments take images: their ecr_repository_name. Null if there is none."
  value       = one(module.shared_repository[*].repository_name)
}

output "shared_repository_url" {
  description = "Its address: DEV_REPOSITORY of the GitHub environment prod-image. Null if there is none."
  value       = one(module.shared_repository[*].repository_url)
}
