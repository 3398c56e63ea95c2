variable "alarms" {
  description = "Who gets alarms, and at how many calls an alarm warns of the cost."
  type = object({
    email                = optional(string) # Address that gets alarms after it has confirmed; null sends no alarms.
    invocations_per_hour = optional(number) # Number of calls of the function per hour above which an alarm warns of the cost; null sets no alarm.
  })
  default  = {}
  nullable = false
  validation {
    condition     = var.alarms.email == null || can(regex("^[^@ ]+@[^@ ]+\\.[^@ ]+$", var.alarms.email))
    error_message = "alarms.email must be an e-mail address, or null."
  }
  validation {
    condition     = try(var.alarms.invocations_per_hour >= 1, var.alarms.invocations_per_hour == null)
    error_message = "alarms.invocations_per_hour must be at least 1, or null."
  }
}

variable "api_gateway_stage_name" {
  description = "Name of the stage, the first part of every path."
  type        = string
  default     = "api"
  nullable    = false
  validation {
    condition     = can(regex("^[A-Za-z0-9_]{1,128}$", var.api_gateway_stage_name))
    error_message = "api_gateway_stage_name must be letters, digits and underscores."
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

variable "canary" {
  description = "Whether a new version of the function first gets a share of the requests, while alarms are watched; terraform/rollout.sh then moves the aliases, not the apply."
  type = object({
    enabled = optional(bool, false) # Whether to do this.
    minutes = optional(number, 10)  # Minutes for which the new version has this share.
    percent = optional(number, 10)  # Percentage of the requests that the new version gets.
  })
  default  = {}
  nullable = false
  validation {
    condition     = var.canary.minutes >= 1 && var.canary.minutes <= 45 && floor(var.canary.minutes) == var.canary.minutes
    error_message = "canary.minutes must be a whole number from 1 to 45; the role of the workflow lasts an hour."
  }
  validation {
    condition     = var.canary.percent >= 1 && var.canary.percent <= 50 && floor(var.canary.percent) == var.canary.percent
    error_message = "canary.percent must be a whole number from 1 to 50."
  }
}

variable "cors_allowed_origins" {
  description = "Web sites whose pages may call the API; [\"*\"] is all of them."
  type        = list(string)
  nullable    = false
  validation {
    condition     = length(var.cors_allowed_origins) >= 1 && (contains(var.cors_allowed_origins, "*") ? length(var.cors_allowed_origins) == 1 : true)
    error_message = "cors_allowed_origins must name at least one origin; \"*\" cannot be combined with other origins."
  }
  validation {
    condition     = alltrue([for origin in var.cors_allowed_origins : origin == "*" || can(regex("^https?://[A-Za-z0-9.-]+(:[0-9]+)?$", origin))])
    error_message = "Each of cors_allowed_origins must be scheme and host without a path or a closing slash, like https://reef.example.org."
  }
}

variable "dataset_sha256" {
  description = "SHA-256 of the recordings and tables that the settings were tuned on, for information only; null if it is not known."
  type        = string
  default     = null
  validation {
    condition     = var.dataset_sha256 == null || can(regex("^[0-9a-f]{64}$", var.dataset_sha256))
    error_message = "dataset_sha256 must be 64 lower-case hexadecimal digits, or null; the tuning notebook and `anemone tune` write it."
  }
}

variable "enable_api_key" {
  description = "Whether requests must carry the header x-api-key; the page, /health and preflights never need it."
  type        = bool
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
  nullable    = false
  validation {
    condition     = can(regex("^[a-z][a-z0-9]{1,7}$", var.environment))
    error_message = "environment must be 2 to 8 lower-case letters and digits, starting with a letter."
  }
}

variable "force_destroy" {
  description = "Whether destroy may delete buckets that still contain recordings or results."
  type        = bool
  default     = false
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
  validation {
    condition = alltrue([for name, range in {
      fmax_hz              = [10, 500000]
      n_fft                = [16, 65536]
      hop_length           = [1, 65536]
      width_pixels         = [8, 2048]
      height_pixels        = [8, 2048]
      window_duration      = [0.01, 60]
      stride_duration      = [0.001, 60]
      target_sr            = [100, 1000000]
      batch_size           = [1, 4096]
      confidence_threshold = [0, 1]
      min_event_duration   = [0, 3600]
      min_gap_duration     = [0, 3600]
      smoothing_window     = [1, 1001]
    } : try(var.inference_config[name] >= range[0] && var.inference_config[name] <= range[1], var.inference_config[name] == null)])
    error_message = "A number of inference_config is out of its range; `anemone config show` says which number, and what is allowed."
  }
  validation {
    condition = alltrue([
      for name in ["n_fft", "hop_length", "width_pixels", "height_pixels", "target_sr", "batch_size", "smoothing_window"] :
      try(floor(var.inference_config[name]) == var.inference_config[name], var.inference_config[name] == null)
    ])
    error_message = "n_fft, hop_length, width_pixels, height_pixels, target_sr, batch_size and smoothing_window must be whole numbers."
  }
  validation {
    condition     = var.inference_config.n_fft % 2 == 0
    error_message = "inference_config.n_fft must be an even number."
  }
  validation {
    condition     = var.inference_config.smoothing_window % 2 == 1
    error_message = "inference_config.smoothing_window must be an odd number, so that the filter has a middle."
  }
  validation {
    condition     = var.inference_config.hop_length <= var.inference_config.n_fft
    error_message = "inference_config.hop_length must be at most n_fft."
  }
  validation {
    condition     = var.inference_config.stride_duration <= var.inference_config.window_duration
    error_message = "inference_config.stride_duration must be at most window_duration, otherwise audio between two windows is never analysed."
  }
  validation {
    condition     = contains([for name in split(",", var.inference_config.model_classes) : trimspace(name)], var.inference_config.target_class)
    error_message = "inference_config.target_class must be one of model_classes."
  }
}

variable "inference_config_fingerprint" {
  description = "Fingerprint of inference_config; the function refuses to serve settings with another fingerprint."
  type        = string
  nullable    = false
  validation {
    condition     = can(regex("^[0-9a-f]{64}$", var.inference_config_fingerprint))
    error_message = "inference_config_fingerprint must be 64 lower-case hexadecimal digits; the tuning notebook and `anemone config to-tfvars` write it."
  }
}

variable "job_max_concurrency" {
  description = "Chunks of one job that are scored at once."
  type        = number
  default     = 10
  nullable    = false
  validation {
    condition     = var.job_max_concurrency >= 1 && var.job_max_concurrency <= 40
    error_message = "job_max_concurrency must be from 1 to 40, the most that an inline Map runs at once."
  }
}

variable "job_timeout" {
  description = "Seconds after which a job is stopped."
  type        = number
  default     = 86400
  nullable    = false
  validation {
    condition     = var.job_timeout >= 900 && var.job_timeout <= 604800
    error_message = "job_timeout must be from 900 to 604800 seconds (a week)."
  }
}

variable "lambda" {
  description = "The function: its image, and what it may use."
  type = object({
    image_uri                         = string                     # Image of the function in ECR, by digest or by tag.
    architecture                      = optional(string, "x86_64") # Processors, x86_64 or arm64; arm64 costs about a fifth less, and needs an image that was built for it.
    ephemeral_storage_size            = optional(number, 6144)     # Size of /tmp in MB; recordings that cannot be read by byte range are decoded there.
    log_level                         = optional(string, "INFO")   # Lowest level of messages that the function logs.
    memory_size                       = optional(number, 3008)     # Memory of the function in MB; the processors grow with it.
    provisioned_concurrent_executions = optional(number, 0)        # Instances kept warm; each costs money all day.
    reserved_concurrent_executions    = optional(number)           # Most calls that may run at once, taken from the calls of the account; null sets no limit for this function.
    timeout                           = optional(number, 900)      # Seconds after which a call of the function is ended.
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
    condition     = var.lambda.provisioned_concurrent_executions >= 0 && var.lambda.provisioned_concurrent_executions <= 1000
    error_message = "lambda.provisioned_concurrent_executions must be from 0 to 1000."
  }
  validation {
    condition     = try(var.lambda.reserved_concurrent_executions >= 1 && var.lambda.reserved_concurrent_executions <= 10000, var.lambda.reserved_concurrent_executions == null)
    error_message = "lambda.reserved_concurrent_executions must be from 1 to 10000, or null."
  }
  validation {
    condition     = var.lambda.timeout >= 30 && var.lambda.timeout <= 900 && floor(var.lambda.timeout) == var.lambda.timeout
    error_message = "lambda.timeout must be a whole number from 30 to 900 seconds."
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

variable "manage_api_gateway_account" {
  description = "Whether to set the role with which API Gateway writes logs. An account has one such role in a region, and bootstrap sets it: use true only if it is not set."
  type        = bool
  default     = false
  nullable    = false
}

variable "model_kms_key_arns" {
  description = "KMS keys with which the bucket of the model is encrypted; the function may use them to read it. [] if it is encrypted with AWS's own keys."
  type        = list(string)
  default     = []
  nullable    = false
  validation {
    condition     = alltrue([for arn in var.model_kms_key_arns : can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+$", arn))])
    error_message = "Each of model_kms_key_arns must be the ARN of a key (not of an alias), like arn:aws:kms:us-east-1:123456789012:key/…."
  }
}

variable "model_s3_bucket" {
  description = "Existing bucket that holds the model; it is only read."
  type        = string
  nullable    = false
  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.model_s3_bucket))
    error_message = "model_s3_bucket must be the name of a bucket, without s3:// or a path."
  }
}

variable "model_s3_key" {
  description = "Key of the model; a .tflite beside a .keras is preferred."
  type        = string
  default     = "models/v1.0/best_model.keras"
  nullable    = false
  validation {
    condition     = can(regex("^[^/].*/[^/]+\\.(keras|tflite|json)$", var.model_s3_key))
    error_message = "model_s3_key must be a key in a folder of its own that ends in .keras, .tflite or .json, like models/v1.0/best_model.keras."
  }
}

variable "model_sha256" {
  description = "Digest that the model bundle (the file that runs and its card) must have; /health and every result have it under model_sha256. null accepts any model."
  type        = string
  default     = null
  validation {
    condition     = var.model_sha256 == null || can(regex("^[0-9a-f]{64}$", var.model_sha256))
    error_message = "model_sha256 must be 64 lower-case hexadecimal digits, or null."
  }
}

variable "model_version" {
  description = "Name of the model in every result."
  type        = string
  default     = "v1.0"
  nullable    = false
  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$", var.model_version))
    error_message = "model_version must be 1 to 64 letters, digits and . _ + -, like v1.0."
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

variable "s3_input_expiration_days" {
  description = "Days until an uploaded recording is deleted."
  type        = number
  default     = 7
  nullable    = false
  validation {
    condition     = var.s3_input_expiration_days >= 1 && floor(var.s3_input_expiration_days) == var.s3_input_expiration_days
    error_message = "s3_input_expiration_days must be a whole number of at least 1 day."
  }
}

variable "s3_output_expiration_days" {
  description = "Days until a result is deleted; its older version is deleted a day later."
  type        = number
  default     = 30
  nullable    = false
  validation {
    condition     = var.s3_output_expiration_days >= 1 && floor(var.s3_output_expiration_days) == var.s3_output_expiration_days
    error_message = "s3_output_expiration_days must be a whole number of at least 1 day."
  }
}

variable "store_api_key_in_secrets_manager" {
  description = "Whether the API key is kept in Secrets Manager too."
  type        = bool
  default     = false
  nullable    = false
}

variable "throttle" {
  description = "How many requests the API accepts: from all clients together, and with one API key."
  type = object({
    api_key_burst_limit = optional(number, 20)    # Requests at once with one API key.
    api_key_daily_quota = optional(number, 10000) # Requests a day with one API key.
    api_key_rate_limit  = optional(number, 10)    # Requests a second with one API key.
    burst_limit         = optional(number, 40)    # Requests that the API accepts at once, from all clients together.
    rate_limit          = optional(number, 20)    # Requests per second that the API accepts, from all clients together.
  })
  default  = {}
  nullable = false
  validation {
    condition     = alltrue([for limit in [var.throttle.rate_limit, var.throttle.api_key_rate_limit] : limit > 0 && limit <= 10000])
    error_message = "throttle.rate_limit and throttle.api_key_rate_limit must be above 0 and at most 10000 requests a second."
  }
  validation {
    condition     = alltrue([for limit in [var.throttle.burst_limit, var.throttle.api_key_burst_limit] : limit >= 1 && limit <= 5000])
    error_message = "throttle.burst_limit and throttle.api_key_burst_limit must be from 1 to 5000 requests."
  }
  validation {
    condition     = var.throttle.api_key_daily_quota >= 1
    error_message = "throttle.api_key_daily_quota must be at least 1 request a day."
  }
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
  validation {
    condition     = var.vpc == null || can(regex("^vpc-[0-9a-f]+$", var.vpc.vpc_id))
    error_message = "vpc.vpc_id must be the id of a VPC, like vpc-0123456789abcdef0."
  }
  validation {
    condition     = try(length(var.vpc.subnet_ids) >= 2 && alltrue([for id in var.vpc.subnet_ids : can(regex("^subnet-[0-9a-f]+$", id))]), var.vpc == null)
    error_message = "vpc.subnet_ids must be the ids of two subnets at least, like subnet-0123456789abcdef0, in different zones."
  }
  validation {
    condition     = try(alltrue([for id in var.vpc.route_table_ids : can(regex("^rtb-[0-9a-f]+$", id))]), var.vpc == null)
    error_message = "vpc.route_table_ids must be ids of route tables, like rtb-0123456789abcdef0."
  }
  validation {
    condition     = try(alltrue([for name in var.vpc.interface_endpoints : contains(["logs", "monitoring", "states", "xray"], name)]), var.vpc == null)
    error_message = "vpc.interface_endpoints may name logs, monitoring, states and xray; S3 has a gateway (route_table_ids)."
  }
}

variable "waf_web_acl_arn" {
  description = "Existing WAF web ACL to put before the API; null puts no ACL. Its rules must let audio of over 8 KB pass."
  type        = string
  default     = null
  validation {
    condition     = var.waf_web_acl_arn == null || can(regex("^arn:[a-z-]+:wafv2:[a-z0-9-]+:[0-9]{12}:regional/webacl/", var.waf_web_acl_arn))
    error_message = "waf_web_acl_arn must be the ARN of a regional WAFv2 web ACL, or null."
  }
}
