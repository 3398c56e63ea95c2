variable "alarm_topic_arn" {
  description = "SNS topic that gets a message when a run fails; null sends no message."
  type        = string
  default     = null
  validation {
    condition     = var.alarm_topic_arn == null || can(regex("^arn:[a-z-]+:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]+$", var.alarm_topic_arn))
    error_message = "alarm_topic_arn must be the ARN of an SNS topic, or null."
  }
}

variable "aws_region" {
  description = "AWS region of everything."
  type        = string
  default     = "us-east-1"
  nullable    = false
  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.aws_region))
    error_message = "aws_region must be the name of a region, like us-east-1."
  }
}

variable "bucket" {
  description = "Existing bucket, in this account and region, for batches and their results, under archives/; its lifecycle says how long they stay."
  type        = string
  nullable    = false
  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.bucket))
    error_message = "bucket must be the name of a bucket, without s3:// or a path."
  }
}

variable "detector_environment" {
  description = "Environment variables that name the model and every setting: the output detector_environment of modules/inference."
  type        = map(string)
  nullable    = false
  validation {
    condition     = alltrue([for name in ["INFERENCE_CONFIG_FINGERPRINT", "S3_MODEL_BUCKET", "S3_MODEL_KEY"] : try(length(var.detector_environment[name]) > 0, false)])
    error_message = "detector_environment must have INFERENCE_CONFIG_FINGERPRINT, S3_MODEL_BUCKET and S3_MODEL_KEY: use the output detector_environment of modules/inference."
  }
}

variable "environment" {
  description = "Second part of every name, such as dev or prod."
  type        = string
  nullable    = false
  validation {
    condition     = can(regex("^[a-z][a-z0-9]{1,7}$", var.environment))
    error_message = "environment must be 2 to 8 lower-case letters and digits, starting with a letter."
  }
}

variable "kms_key_arns" {
  description = "KMS keys with which the bucket of the model or a source is encrypted; the function may use them to read it. [] if they are encrypted with AWS's own keys."
  type        = list(string)
  default     = []
  nullable    = false
  validation {
    condition     = alltrue([for arn in var.kms_key_arns : can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+$", arn))])
    error_message = "Each of kms_key_arns must be the ARN of a key (not of an alias), like arn:aws:kms:us-east-1:123456789012:key/…."
  }
}

variable "lambda" {
  description = "The function: its image, and what it may use."
  type = object({
    image_uri                      = string                     # Image of the function in ECR, by digest or by tag: that of the detector.
    architecture                   = optional(string, "x86_64") # Processors, x86_64 or arm64, for which the image was built.
    ephemeral_storage_size         = optional(number, 6144)     # Size of /tmp in MB; recordings that cannot be read by byte range are decoded there, and results wait there.
    log_level                      = optional(string, "INFO")   # Lowest level of messages that the function logs.
    memory_size                    = optional(number, 3008)     # Memory of the function in MB; the processors grow with it.
    reserved_concurrent_executions = optional(number)           # Calls that are reserved for archives; archives never make more calls at once. They are taken from the calls of the account. null shares the calls with all functions.
  })
  nullable = false
  validation {
    condition     = can(regex("^[0-9]{12}\\.dkr\\.ecr\\.[a-z0-9-]+\\.amazonaws\\.com(\\.cn)?/[a-z0-9._/-]+(:[A-Za-z0-9_][A-Za-z0-9_.-]*|@sha256:[0-9a-f]{64})$", var.lambda.image_uri))
    error_message = "lambda.image_uri must be an image in ECR with a tag or a digest: ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME:TAG or …/NAME@sha256:DIGEST."
  }
  validation {
    condition     = contains(["x86_64", "arm64"], var.lambda.architecture)
    error_message = "lambda.architecture must be x86_64 or arm64."
  }
  validation {
    condition     = var.lambda.ephemeral_storage_size >= 512 && var.lambda.ephemeral_storage_size <= 10240 && floor(var.lambda.ephemeral_storage_size) == var.lambda.ephemeral_storage_size
    error_message = "lambda.ephemeral_storage_size must be a whole number from 512 to 10240 MB."
  }
  validation {
    condition     = contains(["DEBUG", "INFO", "WARNING", "ERROR"], var.lambda.log_level)
    error_message = "lambda.log_level must be DEBUG, INFO, WARNING or ERROR."
  }
  validation {
    condition     = var.lambda.memory_size >= 1024 && var.lambda.memory_size <= 10240 && floor(var.lambda.memory_size) == var.lambda.memory_size
    error_message = "lambda.memory_size must be a whole number from 1024 to 10240 MB."
  }
  validation {
    condition     = try(var.lambda.reserved_concurrent_executions >= 1 && var.lambda.reserved_concurrent_executions <= 10000, var.lambda.reserved_concurrent_executions == null)
    error_message = "lambda.reserved_concurrent_executions must be from 1 to 10000, or null."
  }
}

variable "log_retention_days" {
  description = "Days that logs are kept."
  type        = number
  default     = 30
  nullable    = false
  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days must be one of the numbers CloudWatch knows: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288 or 3653."
  }
}

variable "max_concurrency" {
  description = "Batches that are analysed at once; a new account may make 10 calls at once, and these include the calls of the API."
  type        = number
  default     = 5
  nullable    = false
  validation {
    condition     = var.max_concurrency >= 1 && var.max_concurrency <= 10000 && floor(var.max_concurrency) == var.max_concurrency
    error_message = "max_concurrency must be a whole number from 1 to 10000, the most that a Distributed Map runs at once."
  }
}

variable "project_name" {
  description = "First part of every name."
  type        = string
  default     = "anemonefish-inference"
  nullable    = false
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,24}[a-z0-9]$", var.project_name))
    error_message = "project_name must be 3 to 26 lower-case letters, digits and hyphens, starting with a letter and not ending with a hyphen."
  }
}

variable "source_buckets" {
  description = "Buckets whose recordings the function may read; name public buckets of other people too."
  type        = list(string)
  default     = []
  nullable    = false
  validation {
    condition     = alltrue([for bucket in var.source_buckets : can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", bucket))])
    error_message = "Each of source_buckets must be the name of a bucket, without s3:// or a path."
  }
}

variable "timeout" {
  description = "Seconds after which a run is stopped; the results so far are kept."
  type        = number
  default     = 604800
  nullable    = false
  validation {
    condition     = var.timeout >= 3600 && var.timeout <= 31536000
    error_message = "timeout must be from 3600 seconds (an hour) to 31536000 (a year), the longest that an execution may last."
  }
}

variable "tolerated_failure_percentage" {
  description = "Percentage of the batches that may fail before the others are stopped; a recording that cannot be analysed is not a failure of its batch."
  type        = number
  default     = 50
  nullable    = false
  validation {
    condition     = var.tolerated_failure_percentage >= 0 && var.tolerated_failure_percentage <= 100
    error_message = "tolerated_failure_percentage must be from 0 to 100."
  }
}
