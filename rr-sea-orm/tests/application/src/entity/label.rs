use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue, Condition};

/// A record label, in the compact format, whose behaviour asks the database before it saves.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "label")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i32,
    pub name: String,
    pub parent_id: Option<i32>,
    pub saved: i32,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    #[sea_orm(belongs_to = "Entity", from = "Column::ParentId", to = "Column::Id")]
    Parent,
    #[sea_orm(has_many = "super::track::Entity")]
    Track,
}

impl Related<super::track::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Track.def()
    }
}

/// From a label to the one that owns it.
#[derive(Debug)]
pub struct Owner;

impl Linked for Owner {
    type FromEntity = Entity;
    type ToEntity = Entity;

    fn link(&self) -> Vec<RelationDef> {
        vec![Relation::Parent.def()]
    }
}

#[async_trait::async_trait]
impl ActiveModelBehavior for ActiveModel {
    async fn before_save<C: ConnectionTrait>(mut self, db: &C, insert: bool) -> Result<Self, DbErr> {
        let ActiveValue::Set(name) = &self.name else { return Ok(self) };
        let same = Entity::find().filter(Condition::all().add(Column::Name.eq(name))).count(db).await?;
        if insert && same > 0 {
            return Err(DbErr::Custom(format!("there is a label called {name}")));
        }
        self.saved = ActiveValue::Set(i32::from(!insert) + 1);
        Ok(self)
    }
}
