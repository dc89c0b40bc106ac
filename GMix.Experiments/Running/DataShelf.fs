namespace GMix.Experiments

open System
open GMix.Data
open GMix.Training

/// The data of runs: kept from one run to the next that wants the same.
type internal DataShelf() =
    let source (c: TrainConfig) = c.Dataset, Option.ofObj c.Data, Option.ofNullable c.Size, c.CoarseLabels, c.LegacyNormalization
    let mutable whole = None
    let mutable part = None

    member _.Open(config: TrainConfig) : DatasetSplits =
        let key = source config, config.Limit, config.TestLimit, (if config.Limit = 0 then 0L else config.Seed)
        match part with
        | Some(k, data) when k = key -> data
        | _ ->
            let all: DatasetSplits =
                match whole with
                | Some(k, data) when k = source config -> data
                | _ ->
                    // the old one is let go before the new one is read
                    whole <- None
                    part <- None
                    let data = Trainer.OpenWhole config
                    whole <- Some(source config, data)
                    data
            let data = Trainer.PartOf(all, config)
            part <- Some(key, data)
            data
