//! Image archives: what `docker save`, `skopeo`, `buildah` and `buildx` write, in and out.
//!
//! ```text
//! docker-archive  manifest.json  [{Config, RepoTags, Layers}]   <id>.json  <id>/layer.tar
//! OCI layout      index.json → (index →)* manifest → config, layers        blobs/sha256/<digest>
//! docker ≥ 25     both, over the same blobs
//! ```
//! A load is one pass over the stream. What a layer's blob is *for* may come after it in the archive, so blobs are
//! unpacked to staging as they pass and the documents decide afterwards which of them were meant; the rest is dropped.

mod documents;
mod load;
mod resolve;
mod save;

pub use load::{Event, Known, Loaded, LoadedImage, LoadedLayer, load};
pub use save::{SavedImage, SavedLayer, save};
