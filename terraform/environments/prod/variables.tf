# The settings of prod. The modules check them; here are only the checks that prod has in addition.

variable "alarm_email" {
  description = "Address that gets alarms after it has confirmed; null sends no alarms."
  type        = string
  default     = null
}

variable "api_gateway_stage_name" {
  description = "Name of the stage, the first part of every path."
  type        = string
  default     = "api"
  nullable    = false
}

variable "api_key_burst_limit" {
  description = "Requests at once with one API key."
  type        = number
  default     = 20
  nullable    = false
}

variable "api_key_daily_quota" {
  description = "Requests a day with one API key."
  type        = number
  default     = 10000
  nullable    = false
}

variable "api_key_rate_limit" {
  description = "Requests a second with one API key."
  type        = number
  default     = 10
  nullable    = false
}

variable "archive_ephemeral_storage_size" {
  description = "Size of /tmp in MB of the function that analyses archives."
  type        = number
  default     = 6144
  nullable    = false
}

variable "archive_max_concurrency" {
  description = "Batches of an archive that are analysed at once; a new account may make 10 calls at once, and these include the calls of the API."
  type        = number
  default     = 5
  nullable    = false
}

variable "archive_memory_size" {
  description = "Memory in MB of the function that analyses archives."
  type        = number
  default     = 3008
  nullable    = false
}

variable "archive_reserved_concurrent_executions" {
  description = "Calls that are reserved for archives; archives never make more calls at once. They are taken from the calls of the account. null shares the calls with all functions."
  type        = number
  default     = null
}

variable "archive_source_buckets" {
  description = "Buckets whose recordings `anemone archive run --on aws` may read; name public buckets of other people too."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "archive_timeout" {
  description = "Seconds after which a run of an archive is stopped; the results so far are kept."
  type        = number
  default     = 604800
  nullable    = false
}

variable "archive_tolerated_failure_percentage" {
  description = "Percentage of the batches that may fail before the others are stopped; a recording that cannot be analysed is not a failure of its batch."
  type        = number
  default     = 50
  nullable    = false
}

variable "aws_region" {
  description = "AWS region of everything."
  type        = string
  default     = "us-east-1"
  nullable    = false
}

variable "canary_minutes" {
  description = "Minutes for which a new version gets its share of the requests, if enable_canary is on."
  type        = number
  default     = 10
  nullable    = false
}

variable "canary_percent" {
  description = "Percentage of the requests that a new version gets first, if enable_canary is on."
  type        = number
  default     = 10
  nullable    = false
}

variable "cors_allowed_origins" {
  description = "Web sites whose pages may call the API, like [\"https://reef.example.org\"]."
  type        = list(string)
  nullable    = false
  validation {
    condition     = !contains(var.cors_allowed_origins, "*")
    error_message = "In prod cors_allowed_origins must name the web sites whose pages may call the API, not \"*\"."
  }
}

variable "dataset_sha256" {
  description = "SHA-256 of the recordings and tables that the settings were tuned on, for information only; null if it is not known."
  type        = string
  default     = null
}

variable "ecr_repository_name" {
  description = "Existing repository of the images, such as the shared repository of bootstrap; null makes a repository for this environment."
  type        = string
  default     = null
  validation {
    condition     = var.ecr_repository_name == null || can(regex("^[a-z0-9]+([._/-][a-z0-9]+)*$", var.ecr_repository_name))
    error_message = "ecr_repository_name must be the name of a repository in this account and region, without its address and without a tag, or null."
  }
}

variable "enable_api_key" {
  description = "Whether requests must carry the header x-api-key; the page, /health and preflights never need it."
  type        = bool
  default     = true
  nullable    = false
}

variable "enable_archive" {
  description = "Whether to make the resources that `anemone archive run --on aws` needs."
  type        = bool
  default     = false
  nullable    = false
}

variable "enable_canary" {
  description = "Whether a new version of the function first gets a share of the requests, while alarms are watched; terraform/rollout.sh then moves the alias, not the apply."
  type        = bool
  default     = true
  nullable    = false
}

variable "enable_waf" {
  description = "Whether to make a WAF web ACL before the API, with the rules that AWS manages; rules that look at the body do not apply to uploads."
  type        = bool
  default     = false
  nullable    = false
}

variable "environment" {
  description = "Second part of every name, such as dev or prod."
  type        = string
  default     = "prod"
  nullable    = false
}

variable "force_destroy" {
  description = "Whether destroy may delete buckets and a repository that are not empty."
  type        = bool
  default     = false
  nullable    = false
}

variable "image_tag_mutability" {
  description = "MUTABLE lets a tag move to another image, IMMUTABLE does not."
  type        = string
  default     = "IMMUTABLE"
  nullable    = false
}

variable "inference_config" {
  description = "Every setting of inference, as the tuning notebook and `anemone config to-tfvars` write it to inference_config.auto.tfvars.json. A setting that is not given has its general default, not the value on the model's card."
  type = object({
    fmax_hz              = optional(number, 2000)
    n_fft                = optional(number, 1024)
    hop_length           = optional(number, 256)
    width_pixels         = optional(number, 256)
    height_pixels        = optional(number, 256)
    window_duration      = optional(number, 1.0)
    stride_duration      = optional(number, 0.4)
    target_sr            = optional(number)
    model_classes        = optional(string, "noise,anemonefish,biological")
    batch_size           = optional(number, 32)
    confidence_threshold = optional(number, 0.5)
    target_class         = optional(string, "anemonefish")
    min_event_duration   = optional(number, 0.2)
    min_gap_duration     = optional(number, 0.1)
    smoothing_window     = optional(number, 5)
  })
  default  = {}
  nullable = false
}

variable "inference_config_fingerprint" {
  description = "Fingerprint of inference_config; the function refuses to serve settings with another fingerprint."
  type        = string
  nullable    = false
}

variable "invocations_per_hour_alarm" {
  description = "Number of calls of the function per hour above which an alarm warns of the cost; null sets no alarm."
  type        = number
  default     = null
}

variable "job_max_concurrency" {
  description = "Chunks of one job that are scored at once."
  type        = number
  default     = 10
  nullable    = false
}

variable "job_timeout" {
  description = "Seconds after which a job is stopped."
  type        = number
  default     = 86400
  nullable    = false
}

variable "lambda_architecture" {
  description = "Processors of the function, x86_64 or arm64; arm64 costs about a fifth less, and needs an image that was built for it."
  type        = string
  default     = "x86_64"
  nullable    = false
}

variable "lambda_ephemeral_storage_size" {
  description = "Size of /tmp in MB; recordings that cannot be read by byte range are decoded there."
  type        = number
  default     = 6144
  nullable    = false
}

variable "lambda_image_uri" {
  description = "Image of the function in ECR, by digest or by a version tag."
  type        = string
  nullable    = false
  validation {
    condition     = can(regex("(@sha256:[0-9a-f]{64}|:v?[0-9][A-Za-z0-9_.-]*)$", var.lambda_image_uri))
    error_message = "In prod lambda_image_uri must end in a digest (@sha256:…) or a version tag (:1.2.3); a tag like latest can move to another image."
  }
}

variable "lambda_memory_size" {
  description = "Memory of the function in MB; the processors grow with it."
  type        = number
  default     = 3008
  nullable    = false
}

variable "lambda_provisioned_concurrent_executions" {
  description = "Instances kept warm; each costs money all day."
  type        = number
  default     = 0
  nullable    = false
}

variable "lambda_reserved_concurrent_executions" {
  description = "Most calls that may run at once, taken from the calls of the account; null sets no limit for this function."
  type        = number
  default     = null
}

variable "lambda_timeout" {
  description = "Seconds after which a call of the function is ended."
  type        = number
  default     = 900
  nullable    = false
}

variable "log_level" {
  description = "Lowest level of messages that the function logs."
  type        = string
  default     = "INFO"
  nullable    = false
}

variable "log_retention_days" {
  description = "Days that logs are kept."
  type        = number
  default     = 90
  nullable    = false
}

variable "manage_api_gateway_account" {
  description = "Whether to set the role with which API Gateway writes logs. An account has one such role in a region, and bootstrap sets it: use true only if it is not set."
  type        = bool
  default     = false
  nullable    = false
}

variable "max_image_count" {
  description = "Number of images to keep, in addition to those that ran (tagged live-…); older images are deleted."
  type        = number
  default     = 20
  nullable    = false
}

variable "model_kms_key_arns" {
  description = "KMS keys with which the bucket of the model is encrypted; the function may use them to read it. [] if it is encrypted with AWS's own keys."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "model_s3_bucket" {
  description = "Existing bucket that holds the model; it is only read."
  type        = string
  nullable    = false
}

variable "model_s3_key" {
  description = "Key of the model; a .tflite beside a .keras is preferred."
  type        = string
  default     = "models/v1.0/best_model.keras"
  nullable    = false
}

variable "model_sha256" {
  description = "Digest that the model bundle (the file that runs and its card) must have; /health and every result have it under model_sha256. null accepts any model."
  type        = string
  default     = null
}

variable "model_version" {
  description = "Name of the model in every result."
  type        = string
  default     = "v1.0"
  nullable    = false
}

variable "project_name" {
  description = "First part of every name."
  type        = string
  default     = "anemonefish-inference"
  nullable    = false
}

variable "pull_account_ids" {
  description = "Accounts that may take images of this environment, such as the account of prod for the images of dev."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "s3_input_expiration_days" {
  description = "Days until an uploaded recording is deleted."
  type        = number
  default     = 7
  nullable    = false
}

variable "s3_output_expiration_days" {
  description = "Days until a result is deleted; its older version is deleted a day later."
  type        = number
  default     = 30
  nullable    = false
}

variable "store_api_key_in_secrets_manager" {
  description = "Whether the API key is kept in Secrets Manager too."
  type        = bool
  default     = false
  nullable    = false
}

variable "tags" {
  description = "Tags of every resource, in addition to Project, Environment and ManagedBy."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "throttle_burst_limit" {
  description = "Requests that the API accepts at once, from all clients together."
  type        = number
  default     = 40
  nullable    = false
}

variable "throttle_rate_limit" {
  description = "Requests per second that the API accepts, from all clients together."
  type        = number
  default     = 20
  nullable    = false
}

variable "vpc" {
  description = "Existing VPC in which the function must be; null means no VPC, because the function does not need one."
  type = object({
    interface_endpoints = optional(list(string), ["logs", "states"]) # Services that get an interface endpoint here; [] if the VPC has them already.
    route_table_ids     = optional(list(string), [])                 # Route tables of the subnets, which get the gateway to S3; [] if they have it already.
    subnet_ids          = list(string)                               # Subnets of the function and of the endpoints, in two zones at least.
    vpc_id              = string                                     # Id of the VPC.
  })
  default = null
}

variable "waf_web_acl_arn" {
  description = "Existing WAF web ACL to put before the API; null puts no ACL. Its rules must let audio of over 8 KB pass."
  type        = string
  default     = null
}
